"""The checker finds each anomaly in a history that has it, and none in one that has not."""

import unittest

from chaos.history import History, check


class CheckerOfHistories(unittest.TestCase):
    """One partition, one idempotent writer that wrote three batches of two; the tests break one thing each."""

    def setUp(self):
        self.history = History()
        self.writes = [self.history.invoke(writer="w", number=2 * i, values=[b"w %d" % (2 * i), b"w %d" % (2 * i + 1)], partition=0,
                                           idempotent=True) for i in range(3)]
        for i, write in enumerate(self.writes):
            write.state, write.base = "acknowledged", 2 * i
        self.log = [(i, b"w %d" % i) for i in range(6)]
        self.history.read("c", 0, list(self.log))
        self.history.finish("c", 0)

    def kinds(self, log=None):
        return {anomaly.kind for anomaly in check(self.history, {0: self.log if log is None else log})}

    def test_a_good_history_passes(self):
        self.assertEqual(set(), self.kinds())

    def test_what_nobody_knows_about_may_be_there_or_not(self):
        self.writes[2].state = "open"
        self.assertEqual(set(), self.kinds())
        self.history.reads["c", 0] = self.log[:4]
        self.assertEqual(set(), self.kinds(self.log[:4]))

    def test_a_lost_tail(self):
        self.history.reads["c", 0] = self.log[:4]
        self.assertEqual({"lost"}, self.kinds(self.log[:4]))

    def test_a_lost_middle_whose_place_another_took(self):
        other = self.history.invoke(writer="v", number=0, values=[b"v 0", b"v 1"], partition=0, idempotent=False)
        self.history.reads.clear()
        self.history.finished.clear()
        found = self.kinds([*self.log[:2], (2, b"v 0"), (3, b"v 1"), *self.log[4:]])
        self.assertEqual({"lost", "inconsistent"}, found)
        self.assertEqual("open", other.state)

    def test_all_is_lost(self):
        self.history.reads.clear()
        self.history.finished.clear()
        self.assertEqual({"lost"}, self.kinds([]))
        self.assertEqual(6, len(check(self.history, {})))

    def test_what_was_read_and_is_gone_is_lost_though_nobody_knew_of_it(self):
        self.writes[2].state = "open"
        self.assertEqual({"lost"}, self.kinds(self.log[:4]))

    def test_a_record_that_is_there_twice(self):
        self.assertEqual({"duplicate"}, self.kinds([*self.log, (6, b"w 4"), (7, b"w 5")]))

    def test_a_plain_writer_does_not_promise_once(self):
        for write in self.writes:
            write.idempotent = False
        self.assertEqual(set(), self.kinds([*self.log, (6, b"w 4"), (7, b"w 5")]))

    def test_records_in_another_order(self):
        for write in self.writes[1:]:
            write.state = "open"
        swapped = [*self.log[:2], (2, b"w 4"), (3, b"w 5"), (4, b"w 2"), (5, b"w 3")]
        self.history.reads["c", 0] = swapped
        self.assertEqual({"reordered"}, self.kinds(swapped))

    def test_who_is_answered_first_need_not_have_sent_first(self):
        self.history.writes.reverse()
        self.assertEqual(set(), self.kinds())

    def test_a_value_that_nobody_sent(self):
        self.assertEqual({"phantom"}, self.kinds([*self.log, (6, b"x 0")]))

    def test_a_value_that_was_refused(self):
        self.writes[2].state = "refused"
        self.assertEqual({"phantom"}, self.kinds())

    def test_a_value_in_a_partition_it_was_not_sent_to(self):
        self.assertEqual({"phantom"}, {each.kind for each in check(self.history, {0: self.log, 1: [(0, b"w 1")]})})

    def test_a_record_that_the_consumer_never_saw(self):
        self.history.reads["c", 0] = self.log[:2] + self.log[4:]
        self.assertEqual({"unseen"}, self.kinds())

    def test_a_consumer_that_did_not_come_to_the_end_may_have_missed_some(self):
        self.history.finished.clear()
        self.history.reads["c", 0] = self.log[:2]
        self.assertEqual(set(), self.kinds())

    def test_an_acknowledgement_with_another_offset(self):
        self.writes[1].base = 0
        self.assertEqual({"inconsistent"}, self.kinds())

    def test_two_consumers_that_saw_other_values_at_one_offset(self):
        self.history.read("d", 0, [(1, b"w 2")])
        self.assertEqual({"inconsistent"}, self.kinds())

    def test_offsets_that_go_back_in_the_log(self):
        self.assertIn("inconsistent", self.kinds([*self.log, (5, b"w 5")]))


if __name__ == "__main__":
    unittest.main()
