# libmillrace: the client of src/library as a shared object for C++17 programs, with its headers (include/millrace), a
# CMake package and a pkg-config file. `cmake --install build/release --component library --prefix P` installs it.
# The modules are linked into it; of their symbols only those of the public namespace leave it.
include(CMakePackageConfigHelpers)

target_include_directories(library PUBLIC ${CMAKE_SOURCE_DIR}/include)
target_compile_definitions(library PUBLIC MILLRACE_INSIDE)
target_compile_options(library PRIVATE -fvisibility=hidden -fvisibility-inlines-hidden)

add_library(millrace_shared SHARED $<TARGET_OBJECTS:library>)
target_link_libraries(millrace_shared PRIVATE $<TARGET_PROPERTY:library,LINK_LIBRARIES>)
target_include_directories(millrace_shared INTERFACE $<INSTALL_INTERFACE:include>)
target_compile_features(millrace_shared INTERFACE cxx_std_17)
target_link_options(millrace_shared PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/millrace.map
                    -Wl,--as-needed)
set_target_properties(millrace_shared PROPERTIES OUTPUT_NAME millrace EXPORT_NAME millrace LINKER_LANGUAGE CXX
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
                      LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/millrace.map)
add_dependencies(programs millrace_shared)

install(TARGETS millrace_shared EXPORT MillraceTargets
        LIBRARY DESTINATION lib COMPONENT library NAMELINK_COMPONENT library)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/millrace DESTINATION include COMPONENT library)

set(package lib/cmake/Millrace)
install(EXPORT MillraceTargets NAMESPACE Millrace:: DESTINATION ${package} COMPONENT library)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/MillraceConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
file(WRITE ${CMAKE_BINARY_DIR}/package/MillraceConfig.cmake
     "include(\${CMAKE_CURRENT_LIST_DIR}/MillraceTargets.cmake)\n")
install(FILES ${CMAKE_BINARY_DIR}/package/MillraceConfig.cmake ${CMAKE_BINARY_DIR}/package/MillraceConfigVersion.cmake
        DESTINATION ${package} COMPONENT library)

# Found from where it lies: the prefix is chosen when it is installed.
file(WRITE ${CMAKE_BINARY_DIR}/package/millrace.pc "prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: millrace
Description: A client of Apache Kafka clusters: producers, consumers, admin clients
Version: ${PROJECT_VERSION}
Libs: -L\${libdir} -lmillrace
Cflags: -I\${includedir}
")
install(FILES ${CMAKE_BINARY_DIR}/package/millrace.pc DESTINATION lib/pkgconfig COMPONENT library)
