// InitProducerId for idempotent producers (KIP-98, KIP-360). With a transactional id:
// COORDINATOR_NOT_AVAILABLE, as there is no transaction coordinator yet.
#include "server/handlers/handlers.h"
#include "wire/init_producer_id.h"

namespace millrace::server {

void handle_init_producer_id(Call call) {
  auto request = call.decode<wire::InitProducerIdRequest>();
  if (!request) return;
  wire::InitProducerIdResponse response;
  response.producer_id = -1;
  response.producer_epoch = -1;
  const bool id_alone = (request->producer_id == -1) != (request->producer_epoch == -1);
  if (id_alone || (request->transactional_id && request->transactional_id->empty())) {
    response.error_code = wire::code_of(wire::ErrorCode::kInvalidRequest);
    return call.respond(response);
  }
  if (request->transactional_id) {
    response.error_code = wire::code_of(wire::ErrorCode::kCoordinatorNotAvailable);
    return call.respond(response);
  }
  node::Node& node = call.node();
  env::Shard& shard = call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  node.next_producer_id(shard, [waiting, response](Result<ProducerId> id) mutable {
    if (id) {
      response.producer_id = id->value();
      response.producer_epoch = 0;
    } else {
      response.error_code = wire::code_of(wire::ErrorCode::kCoordinatorNotAvailable);
    }
    waiting->respond(response);
  });
}

}  // namespace millrace::server
