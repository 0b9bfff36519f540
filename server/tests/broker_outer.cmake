# Tests of the outer half of the broker; included by server/broker.
add_executable(endpoint-echo ${PROJECT_SOURCE_DIR}/server/tests/endpoint_echo.c)
spawnd_defaults(endpoint-echo)
set_target_properties(endpoint-echo PROPERTIES
	RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/server/tests)
target_link_libraries(endpoint-echo PRIVATE spawnd_broker_endpoint spawnd_broker_outer spawnd_common)
