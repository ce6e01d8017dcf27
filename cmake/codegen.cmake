# Generated sources: add_generated(MODULE SCRIPT OUTPUTS... ) is called by the module's generated.cmake, if it has one
# (src/NAME/generated.cmake). Outputs go below ${CMAKE_BINARY_DIR}/generated/NAME and are included as "NAME/x.h".
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
