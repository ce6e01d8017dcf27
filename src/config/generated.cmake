#The table of all configs, from schema / configs by tools / codegen / configs.py.
execute_process(
  COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tools/codegen/configs.py ${CMAKE_SOURCE_DIR}/schema/configs
          ${GENERATED_DIR}/config
  COMMAND_ERROR_IS_FATAL ANY)
file(GLOB config_inputs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schema/configs/*.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${config_inputs}
                                       ${CMAKE_SOURCE_DIR}/tools/codegen/configs.py)
set(generated_sources ${GENERATED_DIR}/config/definitions_table.cc)

