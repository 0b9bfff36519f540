# The broker's pure tables: no clock, no system call. The same code runs in the broker, under the
# explorers and under the fuzzers.
add_library(spawnd_broker_tables STATIC ladder.c requests.c lease.c deadlines.c)
spawnd_defaults(spawnd_broker_tables)

if(SPAWND_TESTS)
	pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)
	set(tests ${PROJECT_SOURCE_DIR}/server/tests)

	foreach(table ladder requests lease deadlines)
		add_executable(broker_${table}_test ${tests}/broker_${table}_test.c)
		spawnd_defaults(broker_${table}_test)
		target_link_libraries(broker_${table}_test
			PRIVATE spawnd_broker_tables PkgConfig::CRITERION)
		add_test(NAME broker_${table} COMMAND broker_${table}_test)
	endforeach()

	# What is checked at each step, for explorers and fuzzers alike.
	add_library(spawnd_tables_watch STATIC ${tests}/ladder_watch.c ${tests}/requests_watch.c)
	spawnd_defaults(spawnd_tables_watch)
	target_link_libraries(spawnd_tables_watch PUBLIC spawnd_broker_tables)

	foreach(table ladder requests lease)
		add_executable(explore_${table} ${tests}/explore_${table}.c ${tests}/explore_set.c)
		spawnd_defaults(explore_${table})
		target_link_libraries(explore_${table} PRIVATE spawnd_tables_watch)
		add_test(NAME explore_${table} COMMAND explore_${table})
		set_tests_properties(explore_${table} PROPERTIES TIMEOUT 300)
	endforeach()

	set(fuzz ${PROJECT_SOURCE_DIR}/server/fuzz)
	add_executable(replay_tables ${fuzz}/fuzz_tables.c ${fuzz}/replay.c)
	spawnd_defaults(replay_tables)
	target_link_libraries(replay_tables PRIVATE spawnd_tables_watch)
	add_test(NAME fuzz_tables_corpus COMMAND replay_tables ${fuzz}/corpus/tables)
endif()

if(SPAWND_FUZZ)
	# One target of its own, so that the code under test is instrumented as well.
	add_executable(fuzz_tables ${PROJECT_SOURCE_DIR}/server/fuzz/fuzz_tables.c
		${PROJECT_SOURCE_DIR}/server/tests/ladder_watch.c
		${PROJECT_SOURCE_DIR}/server/tests/requests_watch.c ladder.c requests.c)
	spawnd_defaults(fuzz_tables)
	target_compile_options(fuzz_tables PRIVATE -fsanitize=fuzzer,address,undefined
		-fno-sanitize-recover=all)
	target_link_options(fuzz_tables PRIVATE -fsanitize=fuzzer,address,undefined)
endif()
