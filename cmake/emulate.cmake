# The CUDA kernels on the CPU: rewritten to C++, run by an emulation of blocks and warps
# (tests/cuda/emulate), and held to law 2 by the same program as on a card. Needs a C++ compiler and
# python3; sanitizers do not understand its fibers.
include(CheckLanguage)
check_language(CXX)
find_program(PAWL_PYTHON python3)
if(NOT CMAKE_CXX_COMPILER OR NOT PAWL_PYTHON OR PAWL_SANITIZE OR
   NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
  return()
endif()
enable_language(CXX)

set(emulate ${CMAKE_SOURCE_DIR}/tests/cuda/emulate)
set(rewritten ${CMAKE_BINARY_DIR}/emulated)
foreach(header cuda_runtime cuda_bf16 cuda_fp16 cublasLt cudnn)
  configure_file(${emulate}/${header}.hpp ${rewritten}/include/${header}.h COPYONLY)
endforeach()
configure_file(${emulate}/radix_sort.hpp
               ${rewritten}/include/cub/device/device_radix_sort.cuh COPYONLY)
file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
list(FILTER kernels EXCLUDE REGEX "/(device|queue|dnn|error|algorithm|nccl[^/]*|without_nccl)\\.cu$")
foreach(kernel ${kernels})
  get_filename_component(name ${kernel} NAME_WE)
  add_custom_command(OUTPUT ${rewritten}/${name}.cpp
                     COMMAND ${PAWL_PYTHON} ${emulate}/rewrite.py ${kernel} ${rewritten}/${name}.cpp
                     DEPENDS ${kernel} ${emulate}/rewrite.py VERBATIM)
  list(APPEND sources ${rewritten}/${name}.cpp)
endforeach()
add_library(emulated_kernels OBJECT ${sources} ${emulate}/emulate.cpp ${emulate}/libraries.cpp)
set_target_properties(emulated_kernels PROPERTIES CXX_STANDARD 17)
target_include_directories(emulated_kernels PRIVATE ${rewritten}/include ${CMAKE_SOURCE_DIR})
target_compile_definitions(emulated_kernels PRIVATE PAWL_VERSION="${PROJECT_VERSION}" _GNU_SOURCE)
# what nvcc does not warn of either: pragmas of its own, comparisons of signs, registers of a row
# that is not there
target_compile_options(emulated_kernels PRIVATE -O1 -Wall -Wextra -Wno-unknown-pragmas
                       -Wno-sign-compare -Wno-maybe-uninitialized)

foreach(name ${PAWL_CARD_TESTS})
  set(target cuda_emulated_${name})
  set(shared ${CMAKE_SOURCE_DIR}/tests/kernels/shared_far.c)
  list(REMOVE_ITEM PAWL_CARD_${name} ${shared})
  pawl_card_test(${target} ${name} ${emulate}/open.c ${shared}
                 ${CMAKE_SOURCE_DIR}/kernels/cuda/table.c $<TARGET_OBJECTS:emulated_kernels>)
  target_link_libraries(${target} PRIVATE stdc++)
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
  add_test(NAME cuda.emulated_${name} COMMAND ${target} ${PAWL_CARD_ARGUMENTS_${name}})
  set_tests_properties(cuda.emulated_${name} PROPERTIES TIMEOUT 300)
endforeach()

# The frame of the program with two processes, without what needs cards.
pawl_card_test(cuda_nccl_frame nccl)
add_test(NAME cuda.nccl_frame COMMAND cuda_nccl_frame cpu)
set_tests_properties(cuda.nccl_frame PROPERTIES TIMEOUT 120)
