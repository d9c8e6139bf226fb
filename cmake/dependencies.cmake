# The libraries outside pawl, each as one target `dep_<name>`; `./dev` installs their packages.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(HDF5 REQUIRED COMPONENTS C)

function(pawl_dependency name)
  add_library(dep_${name} INTERFACE)
  target_link_libraries(dep_${name} INTERFACE ${ARGN})
endfunction()

function(pawl_pkgconfig name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  pawl_dependency(${name} PkgConfig::${name})
endfunction()

pawl_pkgconfig(jansson jansson)
pawl_pkgconfig(yaml yaml-0.1)
pawl_dependency(crypto OpenSSL::Crypto)
pawl_dependency(zlib ZLIB::ZLIB)
pawl_dependency(threads Threads::Threads)
pawl_dependency(openmp OpenMP::OpenMP_C)
pawl_dependency(math m)

find_library(ISAL_LIBRARY isal REQUIRED)
pawl_dependency(isal ${ISAL_LIBRARY})

add_library(dep_hdf5 INTERFACE)
target_include_directories(dep_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
# Only the library itself: its own dependencies come with the shared object.
list(FILTER HDF5_C_LIBRARIES INCLUDE REGEX "libhdf5[^/]*$")
target_link_libraries(dep_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

find_library(DNNL_LIBRARY dnnl REQUIRED)
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl_version.h REQUIRED)
# Its two API versions have a source file each (kernels/cpu/onednn_v<major>.c).
file(STRINGS ${DNNL_INCLUDE}/oneapi/dnnl/dnnl_version.h DNNL_VERSION_LINE
     REGEX "^#define DNNL_VERSION_MAJOR +[0-9]+")
string(REGEX MATCH "[0-9]+$" PAWL_DNNL_MAJOR "${DNNL_VERSION_LINE}")
pawl_dependency(dnnl ${DNNL_LIBRARY})
target_include_directories(dep_dnnl SYSTEM INTERFACE ${DNNL_INCLUDE})
