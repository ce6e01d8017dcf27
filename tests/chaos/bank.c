/* A teller of a bank, by librdkafka: each transfer is a transaction of two records, one partition's gain and another's loss; every fifth is aborted.
 *
 *   bank BOOTSTRAP TOPIC PARTITIONS NAME LIFE
 *
 * NAME is its transactional id, LIFE the number of this process among those that had the name: transfers are NAME.LIFE.0, .1, ... Records are "TRANSFER
 * AMOUNT". A line is said before each end of a transaction ("begun TRANSFER") and behind it ("committed TRANSFER", "aborted TRANSFER"). SIGTERM ends
 * it behind a whole transfer. Exit status 3: it was fenced, or cannot go on for another reason that the library calls fatal. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum outcome { done, again, must_abort };

/* Takes the error. */
static enum outcome outcome_of(rd_kafka_error_t* error, const char* call) {
  if (error == NULL) return done;
  fprintf(stderr, "%s: %s\n", call, rd_kafka_error_string(error));
  const enum outcome outcome = rd_kafka_error_txn_requires_abort(error) ? must_abort : again;
  if (rd_kafka_error_is_fatal(error) || (outcome == again && !rd_kafka_error_is_retriable(error))) exit(3);
  rd_kafka_error_destroy(error);
  return outcome;
}

static int enter(rd_kafka_t* bank, const char* topic, int partition, const char* transfer, int amount) {
  char value[128];
  const int size = snprintf(value, sizeof value, "%s %d", transfer, amount);
  return rd_kafka_producev(bank, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_VALUE(value, (size_t)size),
                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void abort_it(rd_kafka_t* bank, const char* transfer) {
  while (outcome_of(rd_kafka_abort_transaction(bank, -1), "abort") != done) continue;
  printf("aborted %s\n", transfer);
}

static void transfer(rd_kafka_t* bank, const char* topic, int partitions, const char* name, int aborts) {
  if (outcome_of(rd_kafka_begin_transaction(bank), "begin") != done) exit(3);
  const int from = rand() % partitions, to = (from + 1 + rand() % (partitions - 1)) % partitions, amount = 1 + rand() % 100;
  const int entered = enter(bank, topic, from, name, -amount) && enter(bank, topic, to, name, amount);
  printf("begun %s\n", name);
  if (aborts) rd_kafka_flush(bank, 5000);   /* what was not sent yet would never be written */
  enum outcome outcome = entered && !aborts ? again : must_abort;
  while (outcome == again) outcome = outcome_of(rd_kafka_commit_transaction(bank, -1), "commit");
  if (outcome == done)
    printf("committed %s\n", name);
  else
    abort_it(bank, name);
}

int main(int count, char** words) {
  if (count != 6) return 2;
  signal(SIGTERM, stop);
  setvbuf(stdout, NULL, _IOLBF, 0);
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", words[1]);
  set(conf, "transactional.id", words[4]);
  set(conf, "transaction.timeout.ms", "8000");
  set(conf, "message.timeout.ms", "8000");
  set(conf, "socket.timeout.ms", "5000");
  set(conf, "linger.ms", "0");
  char reason[512];
  rd_kafka_t* bank = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof reason);
  if (bank == NULL) return 2;
  srand((unsigned)atoi(words[5]));
  while (outcome_of(rd_kafka_init_transactions(bank, 10000), "init") != done)
    if (stopping) return 0;
  for (int number = 0; !stopping; ++number) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s.%d", words[4], words[5], number);
    transfer(bank, words[2], atoi(words[3]), name, number % 5 == 4);
  }
  return 0;
}
