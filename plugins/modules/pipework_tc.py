#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_tc
short_description: Shape, delay and lose the traffic of containers
version_added: 0.1.0
description:
  - Gives an interface of a container a queueing discipline, such as netem, which makes a bad line of a good one.
  - What differs is changed in place where the kernel can do so, and packets that wait are not lost.
    What was changed is read back and must be as wanted, in the numbers that the kernel makes of it.
  - Quantities are written as C(tc) writes them, V(30%), V(100ms), V(10mbit), V(32kb). Without a unit a time is in
    microseconds, a rate in bits a second, a size in bytes; handles and C(default) are hexadecimal.
  - A qdisc of ours has a handle from C(7077:) to C(707b:), unless O(handle) says another.
    One that is not ours is neither replaced nor removed, unless O(force=true).
    The kernel's own default (handle 0) counts as none.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
  - pipework.containers.missing
options:
  device:
    description: The container's interface. The default is V(eth1).
    type: str
    aliases: [dev, interface]
  netem:
    description:
      - The ills of a long way, of what the container sends.
        C(loss), C(duplicate), C(corrupt) and C(reorder) are percentages, and a second one behind it is the correlation,
        as in V(30% 25%); C(loss) is also V(state P13 P31 P32 P23 P14) or V(gemodel P R 1-H 1-K).
      - C(delay), C(jitter), C(correlation) (of the jitter), C(distribution) (C(uniform), C(normal), C(pareto),
        C(paretonormal), C(experimental)), C(gap), C(rate), C(packet_overhead), C(cell_size), C(cell_overhead),
        C(limit) (packets, 1000), C(slot) (V(MIN [MAX] [packets N] [bytes N])), C(ecn),
        C(seed) (for kernels from 6.6 on). What is not said is off.
      - What cannot be read back of the kernel, the distribution, stands in the qdisc's handle; with O(handle) it is set
        but not compared.
    type: dict
  tbf:
    description: >-
      A rate and no more: C(rate), C(burst), C(limit) or C(latency), C(peakrate) with C(mtu), C(mpu), C(overhead).
    type: dict
  htb:
    description: "A tree of classes: C(default) (the class for what no filter sends elsewhere), C(r2q), C(direct_qlen)."
    type: dict
  hfsc:
    description: "A tree of classes with guaranteed delay: C(default)."
    type: dict
  fq_codel:
    description: >-
      C(limit), C(flows), C(target), C(interval), C(quantum), C(ecn), C(ce_threshold), C(memory_limit), C(drop_batch).
    type: dict
  fq:
    description: >-
      C(limit), C(flow_limit), C(quantum), C(initial_quantum), C(pacing), C(maxrate), C(buckets), C(refill_delay),
      C(orphan_mask), C(low_rate_threshold), C(ce_threshold), C(timer_slack), C(horizon), C(horizon_drop).
    type: dict
  cake:
    description: >-
      C(bandwidth), C(rtt), C(diffserv), C(flow_mode), C(atm), C(overhead), C(mpu), C(memlimit), C(fwmark), C(nat),
      C(wash), C(ingress), C(ack_filter), C(split_gso), C(autorate_ingress).
    type: dict
  codel:
    description: C(limit), C(target), C(interval), C(ecn), C(ce_threshold).
    type: dict
  sfq:
    description: C(quantum), C(perturb) (seconds), C(limit), C(divisor), C(flows).
    type: dict
  prio:
    description: C(bands), C(priomap) (the band of each of 16 priorities).
    type: dict
  drr:
    description: Classes that are served in turn. It has no options of its own.
    type: dict
  red:
    description: >-
      C(limit), C(avpkt), C(min), C(max), C(burst), C(probability), C(bandwidth), C(ecn), C(harddrop), C(adaptive),
      C(nodrop).
    type: dict
  pfifo:
    description: C(limit), in packets.
    type: dict
  bfifo:
    description: C(limit), in bytes.
    type: dict
  ingress:
    description: A place for filters of what the container gets. It has no options.
    type: dict
  clsact:
    description: A place for filters of both directions. It has no options.
    type: dict
  qdiscs:
    description:
      - Qdiscs of a whole tree. Each has C(kind), C(parent) (V(root) by default, or a class such as V(1:10)), C(handle),
        and the options of its kind; see the examples.
      - At the root only what is ours, or has the same C(handle), is changed or replaced, unless O(force=true).
      - What is not in the lists stays. Each item can have C(state).
    type: list
    elements: dict
  classes:
    description:
      - Classes of the qdiscs C(htb), C(hfsc) and C(drr). Each has C(classid), C(parent) (by default the qdisc itself)
        and the options of its kind, C(rate), C(ceil), C(burst), C(cburst), C(prio), C(quantum), C(mpu), C(overhead)
        for htb, C(sc), C(rt), C(ls), C(ul) for hfsc, C(quantum) for drr.
    type: list
    elements: dict
  filters:
    description:
      - What goes to which class, or meets which actions. Each has C(parent) (a qdisc, V(ingress) or V(egress)),
        C(kind) (C(u32), which is the default, C(flower), C(matchall), C(fw) or C(bpf)), C(protocol), C(priority),
        C(chain), C(classid) and C(actions).
      - C(u32) has C(match), a list such as V(ip dst 10.0.0.0/8), V(ip dport 80 0xffff) or
        V(u32 0x0a000000 0xff000000 at 16); C(flower) has C(src_ip), C(dst_ip), C(ip_proto), C(src_port), C(dst_port),
        C(src_mac), C(dst_mac), C(vlan_id) and C(vlan_prio); C(fw) has C(mark), such as V(10/0xff).
      - C(bpf) has C(path), of a program that is pinned, and C(direct_action), true by default. It is known by the name
        of the file, and needs the program C(tc) on the host.
      - An action has C(kind), and C(gact) has C(control); C(mirred) C(to) (V(egress redirect), V(egress mirror),
        V(ingress redirect), V(ingress mirror)), C(device) and C(control); C(police) C(rate), C(burst), C(mtu),
        C(exceed) and C(conform); C(skbedit) C(priority), C(mark), C(queue_mapping) and C(control).
      - A filter is known by where it stands, its priority and what it matches; without a priority, by the rest.
    type: list
    elements: dict
  mirror:
    description:
      - Copies of the interface's frames for another interface, where a program can look at them.
        What is copied keeps its addresses, so that only a listener of all frames, such as C(tcpdump), gets it.
      - Both interfaces have to be of kind C(bridge) or C(veth), or in one container. In no container is anything to be
        seen of it. Filters of others go on to see all frames.
      - In an interface's list, an interface can have one mirror.
    type: dict
    suboptions:
      to_container: {description: Who gets the copies. Without it it is the host., type: str}
      to_interface: {description: Its interface. It is needed unless O(state=absent)., type: str}
      to_runtime:
        description: Who knows O(mirror.to_container). The default is O(runtime).
        type: str
        choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
      to_runtime_user: {description: Whose rootless engine knows it. The default is O(runtime_user)., type: str}
      direction:
        description: >-
          Which frames: V(egress), those that the container sends, V(ingress), those that it gets, or V(both), which is
          the default.
        type: str
        choices: [both, ingress, egress]
  bandwidth:
    description:
      - No more than these rates, in V(10mbit), V(512kbit), V(2mbps) (bytes) and so on, as the container sees it.
        V({}) removes all limits, and so does O(state=absent) with this option.
      - It is the same as O(pipework.containers.pipework_attach#module:bandwidth), and makes the same. What one module
        has made the other one changes in place; where both say the same, there is nothing to do.
      - C(egress) is what the container sends, which waits at its end, at the root of the interface, where nothing else
        can stand then. C(ingress) is what it gets, which waits at the host's end of an attachment of kind C(bridge);
        elsewhere, what comes too fast is dropped as it comes in. Beside C(ingress), O(netem) and the others can stand.
      - C(burst) is how much may pass at once, by default what takes 4 ms (0.4 s where it is dropped), 32kb at least.
      - It has no O(duration).
    type: dict
    suboptions:
      ingress: {description: What the container gets., type: str}
      egress: {description: What the container sends., type: str}
      burst: {description: How much may pass at once., type: str}
  duration:
    description:
      - How long a qdisc at the root stays, such as V(90s), V(10min) or V(1h30m). Then what was there before comes back.
      - The host does so by itself, by a small process that outlives the module, also if the controller is gone.
        It keeps no container's network alive, and leaves alone what somebody has changed since.
      - The time starts when the qdisc is set, changed, or given another duration; to set the same again changes
        nothing. Without O(duration) what is there stays for good.
      - A host that is started anew has no containers' networks any more, nor timers.
    type: str
  handle:
    description: The qdisc's handle, such as V(1:). By default it is one of ours, see above.
    type: str
  force:
    description: Whether a qdisc that somebody else made may be replaced or removed. The default is V(false).
    type: bool
  cmd:
    description:
      - What stands after C(tc), as a line or a list of words, in place of the options above. Such as
        V(qdisc add dev eth0 root netem loss 30%).
      - The verbs are C(add), C(change), C(replace) and C(del), of a C(qdisc), a C(class) or a C(filter).
        C(add) of what is there is no error, unless it differs; nor is C(del) of what is not there.
        C(replace) and C(del) take what others made, too. C(del) of a filter needs all of what it matches.
      - No shell reads it. A word that is not known is an error, unless O(passthrough=true).
    type: raw
  state:
    description:
      - V(absent) removes what is ours, and the kernel's default comes back; with a qdisc named, only that one, if it is
        of that kind, with O(mirror), V({}) for instance, only the copying, and with O(bandwidth) only the limits.
        An interface or a container that is gone has none.
      - The default is V(present).
    type: str
    choices: [present, absent]
  interfaces:
    description: Many interfaces in one run. The options of the task are the defaults of each.
    type: list
    elements: dict
    suboptions:
      container: {description: See O(container)., type: str, aliases: [guest]}
      runtime:
        description: See O(runtime).
        type: str
        choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
      runtime_user: {description: See O(runtime_user)., type: str}
      missing: {description: See O(missing)., type: str, choices: [fail, skip]}
      device: {description: See O(device)., type: str, aliases: [dev, interface]}
      netem: {description: See O(netem)., type: dict}
      tbf: {description: See O(tbf)., type: dict}
      htb: {description: See O(htb)., type: dict}
      hfsc: {description: See O(hfsc)., type: dict}
      fq_codel: {description: See O(fq_codel)., type: dict}
      fq: {description: See O(fq)., type: dict}
      cake: {description: See O(cake)., type: dict}
      codel: {description: See O(codel)., type: dict}
      sfq: {description: See O(sfq)., type: dict}
      prio: {description: See O(prio)., type: dict}
      drr: {description: See O(drr)., type: dict}
      red: {description: See O(red)., type: dict}
      pfifo: {description: See O(pfifo)., type: dict}
      bfifo: {description: See O(bfifo)., type: dict}
      ingress: {description: See O(ingress)., type: dict}
      clsact: {description: See O(clsact)., type: dict}
      qdiscs: {description: See O(qdiscs)., type: list, elements: dict}
      classes: {description: See O(classes)., type: list, elements: dict}
      filters: {description: See O(filters)., type: list, elements: dict}
      mirror:
        description: See O(mirror).
        type: dict
        suboptions:
          to_container: {description: See O(mirror.to_container)., type: str}
          to_interface: {description: See O(mirror.to_interface)., type: str}
          to_runtime:
            description: See O(mirror.to_runtime).
            type: str
            choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
          to_runtime_user: {description: See O(mirror.to_runtime_user)., type: str}
          direction: {description: See O(mirror.direction)., type: str, choices: [both, ingress, egress]}
      bandwidth:
        description: See O(bandwidth).
        type: dict
        suboptions:
          ingress: {description: See O(bandwidth.ingress)., type: str}
          egress: {description: See O(bandwidth.egress)., type: str}
          burst: {description: See O(bandwidth.burst)., type: str}
      duration: {description: See O(duration)., type: str}
      handle: {description: See O(handle)., type: str}
      force: {description: See O(force)., type: bool}
      cmd: {description: See O(cmd)., type: raw}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description:
      - With O(interfaces), take away what is ours and not listed, from all interfaces of O(container) and of the
        containers of the items. An item may name a container and nothing else; nothing is wanted there then.
      - Ours are qdiscs at the root with a handle of ours, with all that hangs on them, those that end after
        O(duration), and what O(bandwidth) and O(mirror) made, but not the limits that an attachment made.
        What a timed one has taken the place of comes back, if somebody else made it.
      - The kernel keeps no owner of qdiscs with an O(handle) of your own, nor of what stands at C(ingress) or
        C(clsact). These stay; list them with O(state=absent).
    type: bool
    default: false
  passthrough:
    description:
      - Hand an O(cmd) with words that are not known here to the program itself, on the host, in the container's network
        namespace and without a shell.
      - What has changed is then told from what the program shows before and afterwards.
        A check run cannot know it; it is skipped and says so.
    type: bool
    default: false
seealso:
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: For ten minutes, a third of what web1 sends is lost, and the rest comes late
  pipework.containers.pipework_tc:
    container: web1
    netem: {loss: 30%, delay: 100ms, jitter: 10ms, distribution: normal}
    duration: 10min

- name: A line of 10 Mbit/s for two containers
  pipework.containers.pipework_tc:
    device: eth1
    tbf: {rate: 10mbit, burst: 32kb, latency: 50ms}
    interfaces:
      - container: web1
      - container: db1

- name: web1 sends no more than 2 Mbit/s, and gets no more than 10
  pipework.containers.pipework_tc:
    container: web1
    bandwidth: {egress: 2mbit, ingress: 10mbit}

- name: Copies of all that web1 sends and gets, for a program that watches in ids1
  pipework.containers.pipework_tc:
    container: web1
    mirror: {to_container: ids1, to_interface: eth1}

- name: What goes to the backup server gets a tenth of the line
  pipework.containers.pipework_tc:
    container: web1
    qdiscs:
      - {kind: htb, handle: "1:", default: 10}
    classes:
      - {classid: "1:10", rate: 9mbit, ceil: 10mbit}
      - {classid: "1:20", rate: 1mbit}
    filters:
      - {parent: "1:", match: [ip dst 192.0.2.9/32], classid: "1:20"}

- name: These are all that are slowed down in web1 and db1
  pipework.containers.pipework_tc:
    purge: true
    interfaces:
      - {container: web1, netem: {delay: 100ms}}
      - {container: db1}

- name: As on the command line
  pipework.containers.pipework_tc:
    container: web1
    cmd: qdisc replace dev eth1 root netem delay 100ms 10ms

- name: As it was
  pipework.containers.pipework_tc:
    container: web1
    state: absent
"""

RETURN = r"""
skipped:
  description: The containers that were left out, as O(missing) says, since they do not exist or do not run.
  returned: if there are such ones
  type: list
  elements: str
  sample: [web2]
before:
  description: The managed objects before the run, by kind and name. Empty when there were none.
  returned: success
  type: dict
after:
  description: The same after the run; in check mode, as they would be.
  returned: success
  type: dict
operations:
  description: What was done, in this order; in check mode, what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    action: {description: "One of C(create), C(update) and C(delete).", type: str, returned: always}
    kind: {description: "The sort of object, such as C(qdisc).", type: str, returned: always}
    name: {description: "The object, such as C(docker:web1/eth1 root).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: qdisc, name: docker:web1/eth1 root, before: {}, after: {kind: netem, loss: 30%}}
stdout:
  description: What the program printed.
  returned: with passthrough, when it was used
  type: str
interfaces:
  description: The interfaces, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    container_id: {description: Its ID., type: str, returned: always}
    runtime: {description: Who knows it., type: str, returned: always}
    device: {description: The interface., type: str, returned: always}
    ends_in:
      description: Seconds until a timed one ends; null where it does not.
      type: float
      returned: always
    root:
      description: The qdisc at the root, with what is not usual; empty for the kernel's default.
      type: dict
      returned: always
    bandwidth:
      description: The rates that O(bandwidth) holds to, C(ingress) and C(egress), where there are any.
      type: dict
      returned: always
"""

from ansible_collections.pipework.containers.plugins.module_utils._cli.passthrough import passing, run_or_pass
from ansible_collections.pipework.containers.plugins.module_utils._jobs.tc import TcJob
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module
from ansible_collections.pipework.containers.plugins.module_utils._tc.options import parse_command

ITEM = {
    **CONTAINER,
    **MISSING,
    "device": {"type": "str", "aliases": ["dev", "interface"]},
    "netem": {"type": "dict"},
    "tbf": {"type": "dict"},
    "htb": {"type": "dict"},
    "hfsc": {"type": "dict"},
    "fq_codel": {"type": "dict"},
    "fq": {"type": "dict"},
    "cake": {"type": "dict"},
    "codel": {"type": "dict"},
    "sfq": {"type": "dict"},
    "prio": {"type": "dict"},
    "drr": {"type": "dict"},
    "red": {"type": "dict"},
    "pfifo": {"type": "dict"},
    "bfifo": {"type": "dict"},
    "ingress": {"type": "dict"},
    "clsact": {"type": "dict"},
    "qdiscs": {"type": "list", "elements": "dict"},
    "classes": {"type": "list", "elements": "dict"},
    "filters": {"type": "list", "elements": "dict"},
    "mirror": {
        "type": "dict",
        "options": {
            "to_container": {"type": "str"},
            "to_interface": {"type": "str"},
            "to_runtime": CONTAINER["runtime"],
            "to_runtime_user": {"type": "str"},
            "direction": {"type": "str", "choices": ["both", "ingress", "egress"]},
        },
    },
    "bandwidth": {
        "type": "dict",
        "options": {"ingress": {"type": "str"}, "egress": {"type": "str"}, "burst": {"type": "str"}},
    },
    "duration": {"type": "str"},
    "handle": {"type": "str"},
    "force": {"type": "bool"},
    "cmd": {"type": "raw"},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "interfaces": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
            "passthrough": {"type": "bool", "default": False},
        },
        passing(TcJob, "tc", parse_command),
        work=run_or_pass,
    )


if __name__ == "__main__":
    main()
