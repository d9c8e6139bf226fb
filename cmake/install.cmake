# cmake --install: the binary, and what it prints of itself: man page, bash completion, JSON Schemas.
# None of these is written by hand; each is made by the binary that is being installed.
if(TARGET pawl)
  install(TARGETS pawl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  set(PAWL_SCHEMAS experiment suite policy card report)
  install(CODE "
    set(pawl \"$<TARGET_FILE:pawl>\")
    set(folder \"${CMAKE_BINARY_DIR}/installed\")
    set(schemas \"${PAWL_SCHEMAS}\")
    set(man \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1\")
    set(data \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}\")")
  install(CODE [[
    # print(FILE DESTINATION ARGUMENT...): what `pawl ARGUMENT...` prints becomes that file
    function(print file destination)
      execute_process(COMMAND ${pawl} ${ARGN} OUTPUT_FILE ${folder}/${file} RESULT_VARIABLE result)
      if(NOT result EQUAL 0)
        message(FATAL_ERROR "cannot make ${file}: `pawl ${ARGN}` ended with ${result}")
      endif()
      file(INSTALL ${folder}/${file} DESTINATION ${destination})
    endfunction()
    file(MAKE_DIRECTORY ${folder}/completions ${folder}/schemas)
    print(pawl.1 ${man} man)
    print(completions/pawl ${data}/bash-completion/completions completion)
    foreach(kind ${schemas})
      print(schemas/${kind}.schema.json ${data}/pawl/schemas config schema --kind ${kind})
    endforeach()
  ]])
endif()
