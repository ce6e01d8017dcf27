"""kafka-features, beside Apache Kafka's."""

from scripts.comparing import ScriptsTest

B = ("--bootstrap-server", "{broker}")


class Features(ScriptsTest):
    def features(self, *words, **options):
        return self.compare("features", *words, **options)

    def test_describe(self):
        controllers = ("--bootstrap-controller", f"127.0.0.1:{self.node.controller_port}")
        self.features(*B, "describe", status=0)
        self.features(*controllers, "describe", status=0)
        self.features(*B, "--command-config", "{quick}", "describe", "--node-id", 1, status=0)
        self.features(*controllers, "describe", "--node-id", 1, status=0)
        self.features(*B, "--command-config", "{quick}", "describe", "--node-id", 7, status=1)
        self.features(*B, "describe", "--node-id", -1, status=1)

    def test_what_needs_no_cluster(self):
        for words in ((), ("--release-version", "3.3-IV3"), ("--release-version", "4.1"), ("--release-version", "4.4-IV0"), ("--release-version", "3.9.1")):
            with self.subTest(words):
                self.features("version-mapping", *words, status=0)
        for release in ("2.8", "4.4", ""):
            with self.subTest(release):
                self.features("version-mapping", "--release-version", release, status=1)
        self.features("feature-dependencies", "--feature", "metadata.version=30", "--feature", "eligible.leader.replicas.version=1",
                      "--feature", "eligible.leader.replicas.version=0", "--feature", " transaction.version = 2 ", status=0)
        for feature in ("metadata.version=5", "kraft.version=9", "group.version=-1", "no.such=1", "group.version", "group.version=x"):
            with self.subTest(feature):
                self.features("feature-dependencies", "--feature", feature, status=1)

    def test_levels_change(self):
        for dry in (("--dry-run",), ()):
            with self.subTest(dry):
                self.features(*B, "disable", "--feature", "streams.version", *dry, status=0)
                self.features(*B, "upgrade", "--feature", "streams.version=1", *dry, status=0)
                self.features(*B, "downgrade", "--feature", "transaction.version=1", *dry, status=0)
                self.features(*B, "upgrade", "--release-version", "4.3", *dry)
        self.features(*B, "describe", status=0)
        for words in (("upgrade", "--metadata", "4.3-IV0"), ("upgrade", "--feature", "share.version=9", "--feature", "group.version=1"),
                      ("downgrade", "--metadata", "3.4"), ("downgrade", "--feature", "metadata.version=28", "--unsafe"), ("downgrade", "--release-version", "3.8"),
                      ("disable", "--feature", "no.such")):
            with self.subTest(words):
                self.features(*B, *words, "--dry-run")

    def test_refusals(self):
        for words in ((), B, ("describe",), (*B, "no-such"), (*B, "describe", "--no-such"), (*B, "--bootstrap-controller", "x:1", "describe"), (*B, "upgrade"),
                      (*B, "disable"), (*B, "upgrade", "--release-version", "4.3", "--feature", "a=1"), (*B, "upgrade", "--release-version", "9.9"),
                      (*B, "upgrade", "--feature", "group.version=0"), (*B, "downgrade", "--feature", "group.version=-1"), (*B, "upgrade", "--feature", "=1"),
                      (*B, "upgrade", "--feature", "group.version=1", "--feature", "group.version=1"), ("feature-dependencies",),
                      (*B, "upgrade", "--metadata", "4.3", "--feature", "metadata.version=29"), (*B, "describe", "--node-id", "x"),
                      (*B, "--command-config", "no-such-file", "describe"), ("--bootstrap-server", "nowhere", "describe"),
                      ("--bootstrap-server", "127.0.0.1:1", "--command-config", "{quick}", "describe")):
            with self.subTest(words):
                self.features(*words, status=1)
