/* librdkafka under load: says what Apache Kafka's VerifiableProducer and VerifiableConsumer say, so that one reader (foreign.py) serves both.
 *
 *   rdkafka_client produce BOOTSTRAP TOPIC PREFIX PER_SECOND     idempotent, acks=all, sends again until it is answered
 *   rdkafka_client consume BOOTSTRAP TOPIC GROUP                 from the beginning; commits what it has said
 *
 * A line a record, of JSON. SIGTERM ends it: a producer waits for the answers to what it has sent. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rdkafka.h"

static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char reason[512];
  if (rd_kafka_conf_set(conf, name, value, reason, sizeof reason) == RD_KAFKA_CONF_OK) return;
  fprintf(stderr, "%s\n", reason);
  exit(2);
}

static rd_kafka_t* client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char reason[512];
  rd_kafka_t* made = rd_kafka_new(type, conf, reason, sizeof reason);
  if (made != NULL) return made;
  fprintf(stderr, "%s\n", reason);
  exit(2);
}

static void say(const char* what, const char* topic, int32_t partition, int64_t offset, const void* value, size_t size) {
  printf("{\"name\":\"%s\",\"topic\":\"%s\",\"partition\":%" PRId32 ",\"offset\":%" PRId64 ",\"value\":\"%.*s\"}\n", what, topic, partition,
         offset, (int)size, (const char*)value);
}

static int64_t acknowledged;

static void delivered(rd_kafka_t* producer, const rd_kafka_message_t* message, void* opaque) {
  (void)producer;
  (void)opaque;
  if (message->err != 0) {
    printf("{\"name\":\"producer_send_error\",\"value\":\"%.*s\",\"exception\":\"%s\"}\n", (int)message->len, (const char*)message->payload,
           rd_kafka_err2name(message->err));
    return;
  }
  ++acknowledged;
  say("producer_send_success", rd_kafka_topic_name(message->rkt), message->partition, message->offset, message->payload, message->len);
}

static void failed(rd_kafka_t* of, int error, const char* reason, void* opaque) {
  (void)opaque;
  fprintf(stderr, "%s: %s\n", rd_kafka_err2name((rd_kafka_resp_err_t)error), reason);
  if (error == RD_KAFKA_RESP_ERR__FATAL && rd_kafka_fatal_error(of, NULL, 0) != 0) stopping = 1;
}

static int produce(rd_kafka_conf_t* conf, const char* topic, const char* prefix, int per_second) {
  set(conf, "enable.idempotence", "true");
  set(conf, "message.timeout.ms", "0");   /* for ever */
  set(conf, "linger.ms", "2");
  set(conf, "sticky.partitioning.linger.ms", "10");
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t* producer = client(RD_KAFKA_PRODUCER, conf);
  const struct timespec pause = {0, 1000000000L / per_second};
  int64_t sent = 0;
  while (!stopping) {
    char value[128];
    const int size = snprintf(value, sizeof value, "%s.%" PRId64, prefix, sent);
    const rd_kafka_resp_err_t refused = rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE(value, (size_t)size),
                                                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (refused == RD_KAFKA_RESP_ERR_NO_ERROR) ++sent;
    rd_kafka_poll(producer, 0);
    nanosleep(&pause, NULL);
  }
  rd_kafka_flush(producer, 60000);
  char why[256] = "";
  const int fatal = rd_kafka_fatal_error(producer, why, sizeof why) != 0;
  if (fatal) fprintf(stderr, "fatal: %s\n", why);
  printf("{\"name\":\"tool_data\",\"sent\":%" PRId64 ",\"acked\":%" PRId64 "}\n", sent, acknowledged);
  return fatal || sent != acknowledged;
}

static int consume(rd_kafka_conf_t* conf, const char* topic, const char* group) {
  set(conf, "group.id", group);
  set(conf, "auto.offset.reset", "earliest");
  set(conf, "enable.auto.offset.store", "false");
  set(conf, "auto.commit.interval.ms", "500");
  set(conf, "session.timeout.ms", "6000");
  rd_kafka_t* consumer = client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(consumer);
  rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(topics, topic, RD_KAFKA_PARTITION_UA);
  if (rd_kafka_subscribe(consumer, topics) != 0) return 2;
  while (!stopping) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, 100);
    if (message == NULL) continue;
    if (message->err == 0) {
      say("record_data", topic, message->partition, message->offset, message->payload, message->len);
      rd_kafka_offset_store(message->rkt, message->partition, message->offset);
    } else {
      fprintf(stderr, "%s: %s\n", rd_kafka_err2name(message->err), rd_kafka_message_errstr(message));
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_consumer_close(consumer);
  return 0;
}

int main(int count, char** words) {
  if (count < 5) return 2;
  signal(SIGTERM, stop);
  setvbuf(stdout, NULL, _IOLBF, 0);
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", words[2]);
  set(conf, "socket.timeout.ms", "5000");
  rd_kafka_conf_set_error_cb(conf, failed);
  if (strcmp(words[1], "consume") == 0) return consume(conf, words[3], words[4]);
  return count == 6 ? produce(conf, words[3], words[4], atoi(words[5])) : 2;
}
