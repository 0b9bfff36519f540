# What every target of this project is built with: warnings, hardening, sanitizers.
find_package(PkgConfig REQUIRED)

set(SPAWND_WARNINGS -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes
	-Wmissing-prototypes -Wwrite-strings -Wvla -Wundef -Wformat=2
	# clang does not take the comments by which uthash marks its own.
	$<$<C_COMPILER_ID:GNU>:-Wimplicit-fallthrough>)

function(spawnd_defaults target)
	target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:${SPAWND_WARNINGS}>
		-fstack-protector-strong -fno-strict-aliasing)
	target_compile_definitions(${target} PRIVATE _GNU_SOURCE SPAWND_VERSION="${PROJECT_VERSION}")
	target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
	if(SPAWND_WERROR)
		target_compile_options(${target} PRIVATE -Werror)
	endif()
	if(SPAWND_SANITIZE)
		target_compile_options(${target} PRIVATE -fsanitize=${SPAWND_SANITIZE}
			-fno-sanitize-recover=all -fno-omit-frame-pointer)
		target_link_options(${target} PRIVATE -fsanitize=${SPAWND_SANITIZE})
	endif()
endfunction()
