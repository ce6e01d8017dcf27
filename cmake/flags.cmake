# Compiler and linker flags of every target. Hardening is on in release as well: a broker parses what strangers send.
add_compile_options(-Wall -Wextra -Werror -Wno-missing-field-initializers -Wno-missing-designated-field-initializers
                    -ftrivial-auto-var-init=zero -fno-omit-frame-pointer -fstack-protector-strong -march=x86-64-v2)
add_compile_definitions(_GLIBCXX_ASSERTIONS $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
add_link_options(-fuse-ld=mold -Wl,-z,relro,-z,now $<$<CONFIG:Release>:-Wl,--gc-sections,--icf=safe>)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_definitions(MILLRACE_VERSION="${PROJECT_VERSION}")
