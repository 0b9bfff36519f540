# Tests of the outer half of the broker; included by server/broker.
add_executable(endpoint-echo ${PROJECT_SOURCE_DIR}/server/tests/endpoint_echo.c)
spawnd_defaults(endpoint-echo)
set_target_properties(endpoint-echo PROPERTIES
	RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/server/tests)
target_link_libraries(endpoint-echo PRIVATE spawnd_broker_endpoint spawnd_broker_outer spawnd_common)

# The parts that do not link nng.
pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
foreach(part config runtime_dir loop)
	add_executable(broker_${part}_test ${PROJECT_SOURCE_DIR}/server/tests/broker_${part}_test.c)
	spawnd_defaults(broker_${part}_test)
	target_link_libraries(broker_${part}_test PRIVATE spawnd_broker_outer spawnd_link spawnd_common
		PkgConfig::CRITERION)
	add_test(NAME broker_${part} COMMAND broker_${part}_test)
endforeach()
