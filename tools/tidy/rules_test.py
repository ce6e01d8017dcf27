"""A planted violation of each rule is caught, and clean text passes."""

import unittest

import rules

LAYERS = rules.parse_layers("base 0 pure:\nwire 1 pure: base\nruntime 6 adapter: base\nnode 4 driver: base wire\n"
                            "client/core 3 pure: base\nclient 4 driver: base wire client/core\n")


def found(path, text):
    return list(rules.check_source(path, text, LAYERS))


class Rules(unittest.TestCase):
    def caught(self, path, text, rule):
        self.assertTrue(any(f": {rule}: " in f for f in found(path, text)), found(path, text))

    def test_clean_text_passes(self):
        self.assertEqual(found("src/wire/x.h", '#include <vector>\n#include "base/bytes.h"\nint f(int a);\n'), [])

    def test_an_include_against_layers_txt(self):
        self.caught("src/base/x.h", '#include "wire/reader.h"\n', "layers")

    def test_a_module_that_is_not_listed(self):
        self.caught("src/stray/x.h", "int x;\n", "layers")

    def test_a_folder_that_is_a_module_of_its_own(self):
        self.caught("src/client/core/x.h", '#include "wire/reader.h"\n', "layers")
        self.caught("src/client/core/x.h", '#include "client/x.h"\n', "layers")
        self.caught("src/node/x.h", '#include "client/core/x.h"\n', "layers")
        self.assertEqual(found("src/client/x.cc", '#include "client/core/x.h"\n#include "wire/reader.h"\n'), [])
        self.assertEqual(found("src/wire/testing/x.h", '#include "base/bytes.h"\n#include "wire/testing/y.h"\n'), [])

    def test_a_public_header_with_more_than_the_standard_library(self):
        for name in ('"base/ids.h"', "<fmt/format.h>", "<unistd.h>"):
            self.caught("include/millrace/x.h", f"#include {name}\n", "public")
        self.assertEqual(found("include/millrace/x.h", '#include <mutex>\n#include "millrace/y.h"\n'), [])

    def test_forbidden_includes_of_pure_modules(self):
        for name in ("thread", "mutex", "random", "filesystem", "fstream", "sys/socket.h", "boost/asio/ip/tcp.hpp"):
            self.caught("src/wire/x.cc", f"#include <{name}>\n", "kind")

    def test_locks_only_where_they_belong(self):
        self.caught("src/node/raft_driver.cc", "#include <mutex>\n", "kind")
        self.assertEqual(found("src/node/partition_host.cc", "#include <mutex>\n"), [])
        self.assertEqual(found("src/runtime/shard.cc", "#include <mutex>\n"), [])

    def test_a_long_function(self):
        self.caught("src/wire/x.cc", "void f(int a) {\n" + "  g();\n" * 70 + "}\n", "function")

    def test_a_long_file_and_a_long_header(self):
        self.caught("src/wire/x.cc", "int x;\n" * 801, "size")
        self.caught("src/wire/x.h", "int x;\n" * 401, "size")

    def test_a_long_line(self):
        self.caught("src/wire/x.cc", "// " + "x" * 100 + "\n", "columns")

    def test_five_parameters(self):
        self.caught("src/wire/x.h", "void f(int a, char b, bool c, float d, short e);\n", "parameters")

    def test_two_adjacent_integers_of_one_type(self):
        self.caught("src/wire/x.h", "void f(int64_t offset, int64_t epoch);\n", "parameters")

    def test_forbidden_names(self):
        self.caught("src/wire/x.h", "class StringUtil {};\n", "name")
        self.assertTrue(list(rules.check_names(["src/wire/string_util.h"])))

    def test_unfinished_work(self):
        self.caught("src/wire/x.cc", "// TO" + "DO: later\n", "unfinished")

    def test_paths_of_one_machine(self):
        self.caught("src/wire/x.cc", '// see "/wor' + 'k/main"\n', "path")

    def test_documents(self):
        planted = "see `/wor" + "k/main`\n"
        self.assertIn("docs/x.md:1: path: ", "".join(rules.check_document("docs/x.md", planted)))
        self.assertIn("size", "".join(rules.check_document("ARCHITECTURE.md", "line\n" * 401)))
        self.assertEqual([], list(rules.check_document("ARCHITECTURE.md", "line\n" * 400)))


if __name__ == "__main__":
    unittest.main()
