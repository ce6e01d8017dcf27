// What is in the metadata as Apache Kafka's shell prints it: the texts of its classes.
// Not here: where each is found (app/kafka/shell/image_nodes.h).
#pragma once

#include <string>

#include "app/kafka/shell/snapshot.h"
#include "metadata/image.h"
#include "wire/metadata_records.h"

namespace millrace::app::kafka::shell {

std::string describe(const metadata::Broker& broker);
std::string describe(const metadata::PartitionState& partition);
std::string describe(const wire::RegisterControllerRecord& controller);
std::string describe(const wire::AccessControlEntryRecord& acl);
std::string describe(const wire::UserScramCredentialRecord& credential);
std::string describe(const wire::DelegationTokenRecord& token);
std::string describe(const Provenance& provenance);

}  // namespace millrace::app::kafka::shell
