# CUDA: what the device shares with the CPU is compiled for it here (preset `cuda`).
#
# sm_80 and sm_90a as machine code, and PTX of the newest for later cards.
option(PAWL_CUDA "build the CUDA parts (needs nvcc)" OFF)
if(NOT PAWL_CUDA)
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
set(CMAKE_CUDA_STANDARD 17)
enable_language(CUDA)
file(GLOB subset CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cuda/*.cu)
add_library(cuda_subset OBJECT ${subset})
target_include_directories(cuda_subset PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_options(cuda_subset PRIVATE -Werror=all-warnings -Xcompiler=-Wall,-Wextra)
