// A session's library::Feeder.
#pragma once

#include "app/session.h"
#include "library/feeder.h"

namespace millrace::app {

using library::codec_of;

class Feeder : public library::Feeder {
 public:
  Feeder(Session& session, const client::core::ProducerOptions& options, OnDelivery on_delivery,
         size_t most_bytes = kMostBytes)
      : library::Feeder(session.loop(), options, std::move(on_delivery), most_bytes) {}
};

}  // namespace millrace::app
