# The codecs of every message, from schema/ by tools/codegen.
set(wire_generator ${CMAKE_SOURCE_DIR}/tools/codegen/generate.py)
file(GLOB wire_inputs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schema/messages/*.txt ${CMAKE_SOURCE_DIR}/tools/codegen/*.py)
list(APPEND wire_inputs ${CMAKE_SOURCE_DIR}/schema/errors.txt ${CMAKE_SOURCE_DIR}/schema/apis.txt)
execute_process(
  COMMAND ${Python3_EXECUTABLE} -B ${wire_generator} ${CMAKE_SOURCE_DIR}/schema ${GENERATED_DIR}/wire
  COMMAND_ERROR_IS_FATAL ANY)
execute_process(
  COMMAND ${Python3_EXECUTABLE} -B ${wire_generator} ${CMAKE_SOURCE_DIR}/schema ${GENERATED_DIR}/wire --list
  OUTPUT_VARIABLE generated_sources OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${wire_inputs})
list(FILTER generated_sources INCLUDE REGEX "\\.cc$")
