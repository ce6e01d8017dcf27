"""What is done to a cluster. Each fault is a function of the run (chaos/run.py): it hurts, waits, heals, and the cluster is whole afterwards.

Which node: the leader of a partition, a follower of it, the active controller, or all."""

import time

FROZEN_SECONDS = 30
REPAIR_SECONDS = 60


def restart(run, node, after=(0.2, 2.0)):
    time.sleep(run.chance.uniform(*after))
    node.start()


def kill_leader(run):
    partition = run.any_partition()
    node = run.leader_of(partition)
    killed = time.monotonic()
    node.kill()
    run.note_failover(partition, killed, time.monotonic())
    restart(run, node)


def kill_follower(run):
    partition = run.any_partition()
    leader = run.leader_of(partition)
    node = run.chance.choice([each for each in run.cluster.brokers if each is not leader])
    node.kill()
    restart(run, node)


def kill_controller(run):
    node = run.cluster.quorum_leader()
    begun = time.monotonic()
    node.kill()
    run.note_controller_failover(node, begun)
    restart(run, node)


def kill_all(run):
    """At once, as when the power goes; what the kernel has of their writes stays."""
    run.cluster.kill_all()
    time.sleep(run.chance.uniform(0, 1))
    run.cluster.start_all()


def power_loss(run):
    """Of all nodes at once: what they had not synced is gone."""
    run.cluster.kill_all()
    run.bytes_lost += sum(run.power[node.id].lose() for node in run.cluster.nodes.values())
    run.cluster.start_all()


def kill_twice(run):
    """A node that is killed again while it starts, or catches up."""
    node = run.chance.choice(run.cluster.brokers)
    for _ in range(2):
        node.kill()
        node.launch()
        time.sleep(run.chance.uniform(0.05, 1.0))
    node.kill()
    node.start()


def pause_leader(run):
    node = run.leader_of(run.any_partition())
    node.pause()
    time.sleep(run.pause_seconds())
    node.resume()


def freeze_leader(run):
    """For much longer than its session."""
    node = run.leader_of(run.any_partition())
    node.pause()
    time.sleep(FROZEN_SECONDS)
    node.resume()


def pause_controller(run):
    node = run.cluster.quorum_leader()
    node.pause()
    time.sleep(run.pause_seconds())
    node.resume()


def rolling_restart(run):
    for node in run.cluster.nodes.values():
        begun = time.monotonic()
        node.stop()
        run.shutdowns.append(time.monotonic() - begun)
        node.start()
        run.wait_until_whole()


def isolate(run):
    """A node that cannot reach the others, nor they it; clients reach all."""
    node = run.chance.choice(list(run.cluster.nodes.values()))
    run.cluster.links.isolate(node.id)
    time.sleep(run.pause_seconds())
    run.cluster.links.heal()


def cut_one_way(run):
    one, other = run.chance.sample(list(run.cluster.nodes), 2)
    run.cluster.links.cut(one, other)
    time.sleep(run.pause_seconds())
    run.cluster.links.heal()


def flap(run):
    one, other = run.chance.sample(list(run.cluster.nodes), 2)
    for _ in range(10):
        run.cluster.links.cut(one, other)
        time.sleep(run.chance.uniform(0.02, 0.5))
        run.cluster.links.heal()
        time.sleep(run.chance.uniform(0.02, 0.5))


def reset_links(run):
    for _ in range(10):
        run.cluster.links.reset(*run.chance.sample(list(run.cluster.nodes), 2))
        time.sleep(0.1)


def slow_links(run):
    for source in run.cluster.nodes:
        for target in run.cluster.nodes:
            run.cluster.links.delay(source, target, run.chance.uniform(0, 0.2))
    time.sleep(run.pause_seconds())
    run.cluster.links.heal()


def replay_requests(run):
    for _ in range(20):
        run.cluster.links.replay(*run.chance.sample(list(run.cluster.nodes), 2))
        time.sleep(0.1)


def fill_disk(run):
    """Of one node. It refuses to write, goes on, and takes writes again when there is room."""
    node = run.chance.choice(list(run.cluster.nodes.values()))
    run.power[node.id].fill(True)
    time.sleep(run.pause_seconds())
    run.power[node.id].fill(False)
    assert node.is_running, f"node {node.id} ended when its disk was full: {node.log()[-1500:]}"


def flip_bit(run):
    """In what one replica of a partition has durably. The batch is fetched again from another one, and stands where it stood."""
    node, partition = run.chance.choice(run.cluster.brokers), run.any_partition()
    run.wait_until_read(partition)
    path = min((node.data / f"{run.topic}-{partition}").glob("*.log"))
    at = run.chance.randrange(path.stat().st_size // 2)
    with open(path, "r+b", buffering=0) as log:
        log.seek(at)
        was = log.read(1)
        log.seek(at)
        log.write(bytes([was[0] ^ 1 << run.chance.randrange(8)]))
        begun = time.monotonic()
        while time.monotonic() < begun + REPAIR_SECONDS:
            log.seek(at)
            if log.read(1) == was:
                run.repairs.append(time.monotonic() - begun)
                return
            time.sleep(0.05)
    raise AssertionError(f"node {node.id} has not repaired {path} at {at}")


PROCESS = [kill_leader, kill_follower, kill_controller, kill_all, kill_twice, pause_leader, pause_controller, freeze_leader, rolling_restart]
NETWORK = [isolate, cut_one_way, flap, reset_links, slow_links, replay_requests]
# The first is for nodes that sync before they acknowledge, the others for nodes that get over it: Apache Kafka's do neither.
MILLRACE_ONLY = [power_loss, fill_disk, flip_bit]
ALL = {fault.__name__: fault for fault in [*PROCESS, *NETWORK, *MILLRACE_ONLY]}
