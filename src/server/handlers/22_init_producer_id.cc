// InitProducerId (KIP-98, KIP-360): the next free producer id for an idempotent producer; for a
// transactional one what its coordinator says. Prepared transactions (KIP-939) are not served, as
// in Kafka 4.3.
#include "node/transactions.h"
#include "server/handlers/handlers.h"
#include "wire/init_producer_id.h"

namespace millrace::server {
namespace {

using Response = wire::InitProducerIdResponse;
using wire::ErrorCode;

constexpr int16_t kFirstWithFenced = 4;

void respond(Call& call, Response response) {
  if (response.error_code == wire::code_of(ErrorCode::kProducerFenced) &&
      call.version() < kFirstWithFenced)
    response.error_code = wire::code_of(ErrorCode::kInvalidProducerEpoch);
  call.respond(response);
}

void respond(Call& call, ErrorCode code) {
  Response response;
  response.error_code = wire::code_of(code);
  response.producer_id = -1;
  response.producer_epoch = -1;
  respond(call, response);
}

void init_idempotent(Call call) {
  node::Node& node = call.node();
  env::Shard& shard = call.shard();
  auto waiting = std::make_shared<Call>(std::move(call));
  node.next_producer_id(shard, [waiting](Result<ProducerId> id) {
    // As Kafka, while there is no block of ids.
    if (!id) return respond(*waiting, ErrorCode::kCoordinatorLoadInProgress);
    Response response;
    response.producer_id = id->value();
    response.producer_epoch = 0;
    waiting->respond(response);
  });
}

}  // namespace

void handle_init_producer_id(Call call) {
  auto request = call.decode<wire::InitProducerIdRequest>();
  if (!request) return;
  const bool id_alone = (request->producer_id == -1) != (request->producer_epoch == -1);
  if (id_alone || (request->transactional_id && request->transactional_id->empty()))
    return respond(call, ErrorCode::kInvalidRequest);
  if (!request->transactional_id) return init_idempotent(std::move(call));
  node::TransactionHost& host = call.node().transactions().host();
  auto waiting = std::make_shared<Call>(std::move(call));
  const std::string id = *request->transactional_id;
  host.run({.transactional_id = id,
            .step =
                [request = std::move(*request)](txn::Coordinator& coordinator,
                                                const txn::RequestContext& context) {
                  return coordinator.decide_init_producer_id(request, context);
                },
            .shard = &waiting->shard(),
            .done =
                [waiting](ErrorCode code, txn::Response response) {
                  if (code != ErrorCode::kNone) return respond(*waiting, code);
                  respond(*waiting, std::get<Response>(response));
                }});
}

}  // namespace millrace::server
