# The MPI module: pawl_mpi.so beside the binary, loaded when ranks are asked for. Built where an MPI
# is found; the binary itself never links it.
option(PAWL_MPI "build the MPI module where an MPI library is found" ON)
if(NOT PAWL_MPI)
  return()
endif()
find_package(MPI QUIET COMPONENTS C)
if(NOT MPI_C_FOUND)
  message(STATUS "no MPI library: pawl is built without ranks")
  return()
endif()

# The few plain files it needs are compiled into it, and it shows nothing but its entry.
add_library(pawl_mpi MODULE comm/mpi/mpi.c base/err.c base/utf8.c)
set_target_properties(pawl_mpi PROPERTIES PREFIX "" INSTALL_RPATH_USE_LINK_PATH ON)
target_link_libraries(pawl_mpi PRIVATE pawl_flags MPI::MPI_C)
install(TARGETS pawl_mpi LIBRARY DESTINATION lib/pawl)
