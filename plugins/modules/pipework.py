#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework
short_description: The classic pipework command line
version_added: 0.1.0
description:
  - Takes the command lines of the C(pipework) script and does what they ask for, but so that they can be repeated,
    checked before they are run, and taken back as a whole when one of them fails.
  - Each line stands for options of another module, which the result shows in RV(lines).
    M(pipework.containers.pipework_attach) has many more.
  - No line, and no word of one, is ever run by a shell.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.missing
options:
  cmd:
    description:
      - One line, such as C(br1 web1 192.168.1.1/24@192.168.1.254 U:web1@10). How the script is called may stand before
        it, such as C(pipework), C(sudo /usr/local/bin/pipework) and C(bash ./pipework).
      - Quotes and backslashes keep words together as they do in a shell; comments and a semicolon at the end are left
        aside. What else a shell would understand, such as variables and C($(docker run …\)), is refused.
      - C([--direct-phys] HOSTINTERFACE [-i NAME] [-l NAME] [-a 4|6] CONTAINER ADDRESS/MASK[@GATEWAY] [MAC][@VLAN])
        attaches a container.
      - As with the script, C(-l) is left aside with a warning where the host has no other end, and C(0.0.0.0/24) means
        no address, as C(0/0) does. MAC addresses may be written in short (C(2:0:0:0:0:1)). An address that kernels take
        and few others (C(192.0.2.4/30), C(240.0.0.1/24)) is taken, with a warning.
      - HOSTINTERFACE is the name of a bridge or a network card, C(mac:) and the address of a card, or C(dummy).
        Instead of an address, C(0/0) means none,
        C(udhcpc), C(dhclient) and C(dhcpcd) that this program of the host asks a server, and C(dhcp) that a server is
        asked without any program; see O(pipework.containers.pipework_attach#module:dhcp). Of the words that follow a
        colon, those that say what the server is told are understood. With C(-f) a client stays.
      - C(route CONTAINER WORDS) and C(rule CONTAINER WORDS) take what stands after C(ip route) and C(ip rule), see
        O(pipework.containers.pipework_route#module:cmd) and O(pipework.containers.pipework_rule#module:cmd).
      - C(tc CONTAINER WORDS) takes what stands after C(tc), see O(pipework.containers.pipework_tc#module:cmd).
      - C(route CONTAINER show), C(list), C(get ADDRESS) and C(flush cache), C(rule CONTAINER list) and
        C(tc CONTAINER qdisc show) change nothing; RV(stdout) is what they print when all other lines are done.
      - C(--wait [-i NAME]) waits, when all other lines are done, until the interface C(eth1), or the one that is named,
        is up where the module runs. After 300 seconds that is an error.
    type: str
  argv:
    description: The same as a list of words, which are taken as they are.
    type: list
    elements: str
  commands:
    description:
      - Many lines in one run. All are checked before anything is changed, and a failure takes all back.
      - Blank lines and comments are left aside, and an item may have several lines.
      - The lines are a script. They are played in their order, the later one goes before the earlier one about the same
        route, rule, default gateway, qdisc, class or filter, and what is left is done as one. A second run changes
        nothing. Of several lines with C(@GATEWAY) for one container, and C(route CONTAINER replace default), the last
        one has the default route. The lines of C(tc) about one interface are one tree.
      - What the script's second line would fail at (C(add) where an earlier line has made another route, one interface
        attached twice in different ways) is refused; the same line twice is one. New rules without a priority stand as
        the script's do, each before the one of the line before.
      - A line about the default route that an attachment of another run has is carried out, with a warning. The
        attachment has it back when the line's route is deleted by its gateway (C(route CONTAINER del default via X)).
    type: list
    elements: str
  runtime:
    description: Who knows the containers, as for M(pipework.containers.pipework_attach). The default is V(auto).
    type: str
    choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
  runtime_user:
    description: The user whose rootless Docker, Podman or LXC it is. Root's own containers are meant without it.
    type: str
seealso:
  - module: pipework.containers.pipework_attach
  - module: pipework.containers.pipework_route
  - module: pipework.containers.pipework_rule
  - module: pipework.containers.pipework_tc
  - module: pipework.containers.pipework_wait
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: As on the command line
  pipework.containers.pipework:
    cmd: br1 web1 192.168.1.1/24@192.168.1.254 U:web1

- name: Words that a playbook has
  pipework.containers.pipework:
    argv: [br1, -i, eth2, "{{ container }}", "{{ address }}/24"]

- name: All of an old script
  pipework.containers.pipework:
    runtime: docker
    commands:
      - pipework br1 web1 192.168.1.1/24
      - pipework br1 db1 192.168.1.2/24 @10
      - pipework eth2 proxy1 203.0.113.157/24@203.0.113.1
      - pipework --direct-phys eth3 fast1 0/0
      - pipework route web1 add 10.0.0.0/8 via 192.168.1.254
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
    kind: {description: "The sort of object, such as C(link) or C(address).", type: str, returned: always}
    name: {description: "The object, such as C(docker:web1/eth1).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: link, name: docker:web1/eth1, before: {}, after: {type: veth, up: false, mtu: 1500}}
lines:
  description: What each line stands for, in their order.
  returned: success
  type: list
  elements: dict
  contains:
    cmd: {description: The line., type: str, returned: always}
    module: {description: The module that does the same., type: str, returned: always}
    options: {description: The options of that module., type: dict, returned: always}
    stdout: {description: What a line prints that only asks., type: str, returned: when it does}
  sample:
    - cmd: br1 web1 192.168.1.1/24
      module: pipework_attach
      options: {host_interface: br1, container: web1, addresses: [192.168.1.1/24]}
stdout:
  description: What the lines print that only ask for what there is.
  returned: success, when a line does
  type: str
attachments:
  description: The attachments, as M(pipework.containers.pipework_attach) returns them.
  returned: success, when a line attaches
  type: list
  elements: dict
routes:
  description: The routes, as M(pipework.containers.pipework_route) returns them.
  returned: success, when a line is about routes
  type: list
  elements: dict
rules:
  description: The rules, as M(pipework.containers.pipework_rule) returns them.
  returned: success, when a line is about rules
  type: list
  elements: dict
interfaces:
  description: The interfaces, as M(pipework.containers.pipework_tc) returns them.
  returned: success, when a line is about traffic control
  type: list
  elements: dict
waits:
  description:
    - What was waited for, as M(pipework.containers.pipework_wait) returns it.
      In check mode only if nothing would be changed.
  returned: success, when a line waits
  type: list
  elements: dict
elapsed:
  description: How long that took, in seconds.
  returned: success, when a line waits
  type: float
"""

from ansible_collections.pipework.containers.plugins.module_utils._jobs.commands import CommandsJob, carry_out
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module


def main() -> None:
    run_module(
        {
            "cmd": {"type": "str"},
            "argv": {"type": "list", "elements": "str"},
            "commands": {"type": "list", "elements": "str"},
            "runtime": CONTAINER["runtime"],
            "runtime_user": CONTAINER["runtime_user"],
            **MISSING,
        },
        CommandsJob,
        work=carry_out,
    )


if __name__ == "__main__":
    main()
