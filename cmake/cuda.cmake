# The CUDA module (preset `cuda`): pawl_cuda.so beside the binary, loaded when the device is asked for.
#
# sm_80 and sm_90a as machine code, and PTX of the newest for later cards. The module carries its own
# copy of the few plain C files it needs, and shows nothing but its entry.
option(PAWL_CUDA "build the CUDA module (needs nvcc)" OFF)
if(NOT PAWL_CUDA)
  return()
endif()

set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
find_package(CUDAToolkit 12.4 REQUIRED)
find_path(PAWL_CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
find_library(PAWL_CUDNN NAMES cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} REQUIRED)

# A kernel that spills registers or keeps an array in local memory does not build.
set(PAWL_CUDA_FLAGS -Werror=all-warnings -Xptxas=-warn-spills,-warn-lmem-usage
    -Xcompiler=-Wall,-Wextra -Xcompiler=-fvisibility=hidden)

# What the device shares with the CPU, compiled for it.
file(GLOB subset CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/cuda/*.cu)
add_library(cuda_subset OBJECT ${subset})
target_include_directories(cuda_subset PRIVATE ${CMAKE_SOURCE_DIR})
target_compile_options(cuda_subset PRIVATE ${PAWL_CUDA_FLAGS})

# NCCL's header alone is needed here: the library is loaded when ranks are asked for.
find_path(PAWL_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
file(GLOB kernels CONFIGURE_DEPENDS kernels/cuda/*.cu kernels/cuda/*.c)
if(PAWL_NCCL_INCLUDE)
  list(FILTER kernels EXCLUDE REGEX "/without_nccl\\.cu$")
else()
  message(STATUS "no nccl.h: ranks of cards will meet in host memory")
  list(FILTER kernels EXCLUDE REGEX "/nccl[^/]*\\.cu$")
endif()
add_library(pawl_cuda MODULE ${kernels}
            base/err.c base/utf8.c base/arena.c kernels/tensor.c kernels/op.c kernels/shape.c
            kernels/shape_model.c kernels/flops.c kernels/window.c kernels/collective.c)
set_target_properties(pawl_cuda PROPERTIES PREFIX "" C_VISIBILITY_PRESET hidden
                      CUDA_VISIBILITY_PRESET hidden INSTALL_RPATH_USE_LINK_PATH ON)
target_include_directories(pawl_cuda PRIVATE ${CMAKE_SOURCE_DIR} ${PAWL_CUDNN_INCLUDE}
                           $<$<BOOL:${PAWL_NCCL_INCLUDE}>:${PAWL_NCCL_INCLUDE}>)
target_compile_definitions(pawl_cuda PRIVATE PAWL_VERSION="${PROJECT_VERSION}" _GNU_SOURCE)
target_compile_options(pawl_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${PAWL_CUDA_FLAGS}>)
target_link_libraries(pawl_cuda PRIVATE CUDA::cublasLt ${PAWL_CUDNN} m ${CMAKE_DL_LIBS} pthread)
target_link_options(pawl_cuda PRIVATE -Wl,--no-undefined -Wl,--exclude-libs,ALL)
install(TARGETS pawl_cuda LIBRARY DESTINATION lib/pawl)

# 77: no device.
include(cmake/card.cmake)
foreach(name ${PAWL_CARD_TESTS} nccl)
  pawl_card_test(cuda_${name}_test ${name} tests/cuda/open.c)
  add_dependencies(cuda_${name}_test pawl_cuda)
  if(PAWL_TESTS)
    add_test(NAME cuda.${name} COMMAND cuda_${name}_test ${PAWL_CARD_ARGUMENTS_${name}})
    set_tests_properties(cuda.${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
  endif()
endforeach()
