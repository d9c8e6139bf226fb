# Warnings, sanitizers and the flags that every room shares.
add_library(pawl_flags INTERFACE)
target_compile_definitions(pawl_flags INTERFACE _GNU_SOURCE PAWL_VERSION="${PROJECT_VERSION}")
target_include_directories(pawl_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(pawl_flags INTERFACE
  -fvisibility=hidden -fno-math-errno -ffp-contract=off
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wundef -Wformat=2 -Wcast-qual -Wwrite-strings)
if(PAWL_WERROR)
  target_compile_options(pawl_flags INTERFACE -Werror)
endif()
if(PAWL_SANITIZE)
  target_compile_options(pawl_flags INTERFACE -fsanitize=${PAWL_SANITIZE} -fno-sanitize-recover=all
                                              -fno-omit-frame-pointer)
  target_link_options(pawl_flags INTERFACE -fsanitize=${PAWL_SANITIZE})
endif()

# What this binary is: version and commit, for manifests.
execute_process(COMMAND git -C ${CMAKE_SOURCE_DIR} describe --always --dirty --abbrev=12
                OUTPUT_VARIABLE PAWL_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT PAWL_COMMIT)
  set(PAWL_COMMIT "unknown")
endif()
set(PAWL_BUILD "${PROJECT_VERSION} ${PAWL_COMMIT} ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
