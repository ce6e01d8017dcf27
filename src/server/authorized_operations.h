// The operations that a caller may do, as bits of Kafka's AclOperation (KIP-430). Without an
// authorizer that is every operation that the kind of resource has.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace millrace::server {

enum class AclOperation : int8_t {
  kRead = 3,
  kWrite = 4,
  kCreate = 5,
  kDelete = 6,
  kAlter = 7,
  kDescribe = 8,
  kClusterAction = 9,
  kDescribeConfigs = 10,
  kAlterConfigs = 11,
  kIdempotentWrite = 12
};

constexpr int32_t operation_bits(std::initializer_list<AclOperation> operations) {
  int32_t bits = 0;
  for (AclOperation operation : operations) bits |= 1 << static_cast<int8_t>(operation);
  return bits;
}

inline constexpr int32_t kTopicOperations =
    operation_bits({AclOperation::kRead, AclOperation::kWrite, AclOperation::kCreate,
                    AclOperation::kDelete, AclOperation::kAlter, AclOperation::kDescribe,
                    AclOperation::kDescribeConfigs, AclOperation::kAlterConfigs});
inline constexpr int32_t kClusterOperations =
    operation_bits({AclOperation::kCreate, AclOperation::kAlter, AclOperation::kDescribe,
                    AclOperation::kClusterAction, AclOperation::kDescribeConfigs,
                    AclOperation::kAlterConfigs, AclOperation::kIdempotentWrite});
inline constexpr int32_t kGroupOperations =
    operation_bits({AclOperation::kRead, AclOperation::kDelete, AclOperation::kDescribe,
                    AclOperation::kDescribeConfigs, AclOperation::kAlterConfigs});
static_assert(kTopicOperations == 3576 && kClusterOperations == 8096 && kGroupOperations == 3400);

}  // namespace millrace::server
