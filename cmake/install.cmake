# cmake --install: the binary, man pages, schemas and completion.
if(TARGET pawl)
  install(TARGETS pawl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
