# Writes OUTPUT, a source file with the revision of the repository at SOURCE_DIR; leaves it alone when nothing changed,
# so that nothing is rebuilt. Where there is no repository, the environment may name it: DEMORL_REVISION.

set(revision unknown)
find_program(GIT git)
if(DEFINED ENV{DEMORL_REVISION})
  set(revision $ENV{DEMORL_REVISION})
elseif(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
    OUTPUT_VARIABLE described RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT failed AND described)
    set(revision ${described})
  endif()
endif()

set(text "#include \"common/rpc/revision.h\"\n\nnamespace demorl {\n\nconst char* Revision() { return \"${revision}\"; }\n\n}  // namespace demorl\n")
set(previous "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} previous)
endif()
if(NOT text STREQUAL previous)
  file(WRITE ${OUTPUT} "${text}")
endif()
