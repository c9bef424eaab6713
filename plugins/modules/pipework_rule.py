#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_rule
short_description: Rules of policy routing in containers
version_added: 0.1.0
description:
  - Adds and removes the rules that say which routing table a container looks into, as C(ip rule) does, with all that
    rules can select and do.
  - A rule is found again by what it selects, and by its priority where that is given. One of ours that selects
    the same and does something else is replaced. New rules come before old ones go.
  - The rules that this module adds carry the protocol number 114, unless O(protocol) says otherwise. Those of
    the kernel and of M(pipework.containers.pipework_attach) are never touched.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
  - pipework.containers.missing
options:
  priority:
    description:
      - When the rule is looked at; the lower, the earlier.
      - Without it, a rule that selects the same is found wherever it is. New ones stand before all that are there,
        but for the kernel's first, and in the order of the list.
    type: int
    aliases: [pref, preference]
  family:
    description:
      - Of what family the rule is. Without it, that is seen from the addresses; else it is V(ipv4).
    type: str
    choices: [ipv4, ipv6]
  source:
    description:
      - The prefix or address that packets come from.
    type: str
    aliases: [from]
  destination:
    description:
      - The prefix or address that packets go to.
    type: str
    aliases: [to]
  iif:
    description:
      - The interface that packets come in by; V(lo) for those that the container sends itself. It need not exist yet.
    type: str
  oif:
    description:
      - The interface that a program has bound its socket to.
    type: str
  fwmark:
    description:
      - The mark that packets carry, with its mask, such as V(0x1/0xff).
    type: str
  tos:
    description:
      - The type of service. A number; hex will do.
    type: str
  ip_protocol:
    description:
      - The protocol, such as V(tcp), or its number.
    type: str
    aliases: [ipproto]
  source_port:
    description:
      - A port, or a range such as V(1000-1999).
    type: str
    aliases: [sport]
  destination_port:
    description:
      - A port, or a range such as V(1000-1999).
    type: str
    aliases: [dport]
  uid_range:
    description:
      - The user whose socket it is, or a range such as V(1000-1999).
    type: str
    aliases: [uidrange]
  tun_id:
    description:
      - The ID of the tunnel that packets came by.
    type: int
  invert:
    description:
      - Select all packets but these.
    type: bool
  action:
    description:
      - What happens to the packets. The default is V(lookup), with O(goto) it is V(goto).
    type: str
    choices: [lookup, goto, nop, blackhole, unreachable, prohibit]
  table:
    description:
      - The routing table to look into, as a name of the host's C(rt_tables) or a number. The default is V(main).
    type: str
    aliases: [lookup]
  l3mdev:
    description:
      - Look into the table of the VRF that the packet belongs to.
    type: bool
  goto:
    description:
      - The priority of the rule to go on with.
    type: int
  suppress_prefixlength:
    description:
      - Take no route whose prefix is this long or shorter; with V(0) that is any default route.
    type: int
  suppress_ifgroup:
    description:
      - Take no route through an interface of this group.
    type: int
  realms:
    description:
      - The realms, such as V(1/2).
    type: str
  protocol:
    description:
      - Who made the rule, as a name of the host's C(rt_protos) or a number. A rule that stands there already
        with all else the same is left alone where this is not given.
    type: str
  cmd:
    description:
      - What stands after C(ip rule), such as V(add from 192.168.1.1 table 100), as a string or a list of words, in
        place of the options above. The verbs are C(add), C(del) and C(flush).
      - C(add) of what is there already changes nothing, C(del) of what is not there is no error. C(flush) leaves
        the rules of attachments. Those that the kernel made are refused by C(del) and C(flush).
    type: raw
  state:
    description:
      - V(present) adds the rule; V(absent) removes the rules that fit all options that are given. When several fit
        and not all were made by this module, it fails and lists them, unless O(protocol) is given.
      - The default is V(present).
    type: str
    choices: [present, absent]
  rules:
    description:
      - Many rules in one run, of one or several containers. The options of the task are the defaults of each.
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
      priority: {description: See O(priority)., type: int, aliases: [pref, preference]}
      family: {description: See O(family)., type: str, choices: [ipv4, ipv6]}
      source: {description: See O(source)., type: str, aliases: [from]}
      destination: {description: See O(destination)., type: str, aliases: [to]}
      iif: {description: See O(iif)., type: str}
      oif: {description: See O(oif)., type: str}
      fwmark: {description: See O(fwmark)., type: str}
      tos: {description: See O(tos)., type: str}
      ip_protocol: {description: See O(ip_protocol)., type: str, aliases: [ipproto]}
      source_port: {description: See O(source_port)., type: str, aliases: [sport]}
      destination_port: {description: See O(destination_port)., type: str, aliases: [dport]}
      uid_range: {description: See O(uid_range)., type: str, aliases: [uidrange]}
      tun_id: {description: See O(tun_id)., type: int}
      invert: {description: See O(invert)., type: bool}
      action:
        description: See O(action).
        type: str
        choices: [lookup, goto, nop, blackhole, unreachable, prohibit]
      table: {description: See O(table)., type: str, aliases: [lookup]}
      l3mdev: {description: See O(l3mdev)., type: bool}
      goto: {description: See O(goto)., type: int}
      suppress_prefixlength: {description: See O(suppress_prefixlength)., type: int}
      suppress_ifgroup: {description: See O(suppress_ifgroup)., type: int}
      realms: {description: See O(realms)., type: str}
      protocol: {description: See O(protocol)., type: str}
      cmd: {description: See O(cmd)., type: raw}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description:
      - With O(rules), remove the rules of this module, or of O(protocol) if that is given, that are not listed;
        only those of O(table) and O(family), if these are given. That is done in O(container) and those of the items.
      - An item may name a container and nothing else; no rules are wanted there then.
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
  - module: pipework.containers.pipework_route
  - module: pipework.containers.pipework_attach
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: As with ip rule
  pipework.containers.pipework_rule:
    container: web1
    cmd: add from 192.168.1.1 table 100

- name: What comes from this address has a routing table of its own
  pipework.containers.pipework_rule:
    container: web1
    source: 192.168.1.1
    table: 100

- name: All but what is marked goes through a tunnel, unless there is a better route than the default one
  pipework.containers.pipework_rule:
    container: web1
    purge: true
    rules:
      - {table: main, suppress_prefixlength: 0}
      - {fwmark: 0xca6c, invert: true, table: 51820}

- name: One user's web traffic
  pipework.containers.pipework_rule:
    container: web1
    ip_protocol: tcp
    destination_port: 80
    uid_range: 1000
    table: 100
    priority: 1000

- name: None of that any more
  pipework.containers.pipework_rule:
    container: web1
    table: 100
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
    action: {description: "One of C(create) and C(delete): a rule cannot be changed.", type: str, returned: always}
    kind: {description: "Always C(rule).", type: str, returned: always}
    name: {description: "The rule, such as C(docker:web1/100: from all lookup main)", type: str, returned: always}
    before: {description: The rule before., type: dict, returned: always}
    after: {description: The rule after., type: dict, returned: always}
  sample:
    - action: create
      kind: rule
      name: "docker:web1/32765: from 192.168.1.1/32 lookup 100 proto 114"
      before: {}
      after: {action: lookup, family: ipv4, priority: 32765, protocol: "114", source: 192.168.1.1/32, table: 100}
stdout:
  description: What the program printed.
  returned: with passthrough, when it was used
  type: str
rules:
  description: The rules that are present, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    runtime: {description: The runtime that knows it., type: str, returned: always}
    priority: {description: See O(priority)., type: int, returned: always}
    family: {description: See O(family)., type: str, returned: always}
    source: {description: See O(source)., type: str, returned: always}
    destination: {description: See O(destination)., type: str, returned: always}
    iif: {description: See O(iif)., type: str, returned: always}
    oif: {description: See O(oif)., type: str, returned: always}
    fwmark: {description: See O(fwmark)., type: str, returned: always}
    tos: {description: See O(tos)., type: int, returned: always}
    ip_protocol: {description: See O(ip_protocol)., type: str, returned: always}
    source_port: {description: See O(source_port)., type: str, returned: always}
    destination_port: {description: See O(destination_port)., type: str, returned: always}
    uid_range: {description: See O(uid_range)., type: str, returned: always}
    tun_id: {description: See O(tun_id)., type: int, returned: always}
    invert: {description: See O(invert)., type: bool, returned: always}
    action: {description: See O(action)., type: str, returned: always}
    table: {description: See O(table)., type: int, returned: always}
    l3mdev: {description: See O(l3mdev)., type: bool, returned: always}
    goto: {description: See O(goto)., type: int, returned: always}
    suppress_prefixlength: {description: See O(suppress_prefixlength)., type: int, returned: always}
    suppress_ifgroup: {description: See O(suppress_ifgroup)., type: int, returned: always}
    realms: {description: See O(realms)., type: str, returned: always}
    protocol: {description: See O(protocol)., type: str, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._cli.passthrough import passing, run_or_pass
from ansible_collections.pipework.containers.plugins.module_utils._jobs.rule import RuleJob
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module
from ansible_collections.pipework.containers.plugins.module_utils._routing.options import RULE
from ansible_collections.pipework.containers.plugins.module_utils._routing.rule_options import parse_command

ITEM = {
    **CONTAINER, **MISSING, **RULE,
    "cmd": {"type": "raw"}, "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "rules": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
            "passthrough": {"type": "bool", "default": False},
        },
        passing(RuleJob, "rule", parse_command),
        work=run_or_pass,
    )


if __name__ == "__main__":
    main()
