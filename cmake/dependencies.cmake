# Everything here is a Debian 12 package; ./dev installs them (see `packages` in dev).
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(lz4 REQUIRED IMPORTED_TARGET liblz4)
pkg_check_modules(zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
find_library(SNAPPY_LIBRARY snappy REQUIRED)
find_library(ISAL_LIBRARY isal REQUIRED)
find_package(GTest REQUIRED)

# What each module links beside the modules it may include.
set(libraries_base fmt::fmt ${ISAL_LIBRARY})
set(libraries_record PkgConfig::lz4 PkgConfig::zstd PkgConfig::zlib ${SNAPPY_LIBRARY})
set(libraries_runtime Threads::Threads)
set(libraries_app Threads::Threads)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
set(test_libraries_wire Boost::json PkgConfig::zlib)
