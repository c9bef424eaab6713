#!/usr/bin/python
# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipework_attach
short_description: Attach containers to bridges and network cards
version_added: 0.1.0
description:
  - Gives a container an interface on a Linux bridge or one of Open vSwitch, on a network card (macvlan, or the card
    itself), or a dummy one, with addresses, gateways, MAC address and MTU; changes in place what differs;
    and takes it away again.
  - One task serves a whole host. With O(attachments) a thousand attachments are one module run.
  - What was changed is read back from the kernel and must be as wanted. When a step fails, the steps before it
    are taken back.
  - Only interfaces, routes and filter rules that the module made are ever changed or removed. They carry a mark
    in the kernel; no state is kept in files.
extends_documentation_fragment:
  - pipework.containers.attributes
  - pipework.containers.container
  - pipework.containers.missing
options:
  host_interface:
    description:
      - What to attach to. The name of a bridge or a network card of the host, V(mac:) and the address of a network
        card, or V(dummy).
      - A bridge that does not exist is made, and goes again with its last attachment if nobody has given it an address.
        Use M(pipework.containers.pipework_bridge) for a bridge that stays.
    type: str
  kind:
    description:
      - How to attach. V(auto) takes V(bridge) for a bridge, V(openvswitch) for one of Open vSwitch,
        V(ipoib) for an IPoIB interface, V(sriov) where O(vf) is given, and V(macvlan) for any other interface;
        for one that does not exist, V(bridge) if its name starts with C(br),
        V(openvswitch) if it starts with C(ovs), and V(dummy) if it starts with C(dummy).
      - V(bridge) makes a veth pair with one end on the bridge.
      - V(openvswitch) makes the same pair, and a port of a bridge of Open vSwitch for the host's end, with the external
        ids of the classic script. All that a run changes there is one transaction.
        A VLAN bridge (C(ovs-vsctl add-br NAME PARENT VLAN)) is a bridge too, with access ports of its VLAN.
        It needs C(ovs-vsctl) on the host, and finds a database that is elsewhere by C(OVS_RUNDIR) in the environment.
      - V(macvlan) makes an interface of its own MAC address on a network card, which stays on the host
        and can carry many.
      - V(macvtap) makes a macvlan that a virtual machine in the container can read and write frames on.
      - V(ipvlan) makes an interface that shares the card's MAC address, for networks that take only one.
      - V(phys) moves the network card itself. O(state=absent) brings it back with its old name, MTU, MAC address,
        addresses in their order, routes of all tables, permanent neighbors and bridge, also after the container has
        died. The kernel keeps the rules that name it. What the host has got in the place of a route meanwhile stays,
        with a warning. A wireless card moves with its phy, if it is the only interface of it. See O(force).
      - V(sriov) moves the interface of a virtual function (SR-IOV), which O(vf) tells, of the card O(host_interface).
        O(mac_address), O(vlan) and O(port.mac_spoof_check) are set through the card, out of the container's reach,
        and are as before when the function comes back.
      - V(ipoib) makes an interface on an IPoIB interface (InfiniBand), in the partition O(pkey) or the same one.
      - V(dummy) makes an interface that leads nowhere.
      - V(veth) makes a cable between two containers, or between two interfaces of one; see O(peer).
      - The default is V(auto).
    type: str
    choices: [auto, bridge, openvswitch, macvlan, macvtap, ipvlan, phys, sriov, ipoib, dummy, veth]
  mode:
    description:
      - The mode of a macvlan or macvtap, V(bridge) by default, or of an ipvlan, V(l2) by default;
        of an IPoIB interface V(datagram) or V(connected), where the kernel chooses if it is not given.
      - All ipvlans on one network card have the same mode.
    type: str
    choices: [bridge, private, vepa, passthru, source, l2, l3, l3s, datagram, connected]
  interface:
    description:
      - The interface's name in the container. The default is V(eth1), and V(ib0) for kind V(ipoib).
      - A container's second network needs another one. Where the option is left out, an interface that leaves a bridge
        or card for another one does so with a warning.
    type: str
    aliases: [container_interface]
  local_interface:
    description:
      - The name of the host's end, for kinds V(bridge) and V(openvswitch).
      - The default is a name made from the container and the interface that is the same each time
        and fits into 15 characters.
    type: str
  addresses:
    description:
      - Addresses with their prefix length, such as V(192.168.1.1/24), of both families. V(0/0) means none.
      - The list is the whole set of static global addresses of the interface, unless O(append=true).
        Without this option they are left as they are.
      - A new one of a network that the host has on another interface, and one whose prefix length is another one than
        others of its network have on the same bridge or card, are taken with a warning.
      - Where IPv6 is switched off for the interface, as Docker does, one of IPv6 switches it on; that is an operation
        (C(disable_ipv6)) like others.
    type: list
    elements: str
    aliases: [address]
  append:
    description: Only add O(addresses), do not remove others. The default is V(false).
    type: bool
  gateway:
    description:
      - The default gateway, at most one for each family. One outside the subnets of the interface gets a host route.
      - It is another machine's address. The interface's own, and those of a network as a whole, are refused.
      - The default route of a container has one owner. Another one's is taken over, and comes back when this one goes,
        is given up, or cannot be reached any more. The engine's, and others that are not of this collection, wait in
        routing table 28791, those of other attachments in 28792.
      - Where two tasks ask for it, the later one takes it over with a warning. The earlier one, run again, changes
        nothing as long as the other one has it. O(gateway_metric) or O(table) lets both have one.
      - An empty list, or an empty string, removes the gateway that was set before. Without the option it stays in
        force, also where it stood in the playbook before.
      - V(dhcp) is the router that the lease of O(dhcp) names, also where somebody else has the default route. Without
        it a lease takes the default route only where there is none.
    type: list
    elements: str
  gateway_metric:
    description:
      - The metric of the default route of O(gateway) or of the lease, from 1. It makes that one of several of the
        container, and leaves the one without to whoever has it.
    type: int
  published_ports:
    description:
      - Where the engine (Docker, Podman) publishes ports of the container, V(keep) has the answers go back through the
        engine's interface, also where the default route or the asker's network is this attachment's. Whatever comes
        from the engine's address then goes through the engine's gateway, by a rule and routing table 28793, which go
        with the last attachment of the container.
      - V(ignore) leaves them alone, and takes the rule away where no other attachment stands in the container.
      - The default is V(keep).
    type: str
    choices: [keep, ignore]
  table:
    description:
      - A routing table of the interface's own, as a name of the host's C(rt_tables) or a number. O(gateway) is the
        default route there, not in the main table, and the networks of the interface are there too. So is what a lease
        of O(dhcp) brings, unless O(gateway) says otherwise, and the router that advertises itself where O(accept_ra) or
        O(dhcp6) is given.
        Rules lead packets from each of the interface's addresses to it, also from those of leases and of routers, so
        that they are answered by the way they came. With O(dhcp_keep) they follow a lease whose address changes. What
        routers advertise anew is followed by the next run.
      - It all goes with the interface.
    type: str
  routes:
    description:
      - Routes through this interface, with the options of M(pipework.containers.pipework_route).
        They stand in O(table) if that is given, unless they name one themselves.
      - The list is the whole set of the routes that this option made for the interface.
    type: list
    elements: dict
  rules:
    description:
      - More rules that lead to O(table), or name the interface or one of its addresses, with the options of
        M(pipework.containers.pipework_rule). They come before those that O(table) makes by itself.
      - The list is the whole set of the rules that this option made for the interface.
    type: list
    elements: dict
  dhcp:
    description:
      - Who asks a DHCP server for an address. V(builtin) needs nothing, neither in the container nor on the host.
        The others are programs, which have to be installed on the host. They run in the container's network
        namespace and only bring the lease; they configure nothing and write no file.
        With V(docker), a program of O(dhcp_image) does the same in a helper container, for containers of Docker.
      - What the server grants becomes an address with a lifetime, a default route unless O(gateway) is given,
        the server's other routes, and the MTU unless O(mtu) is given. The module returns it as C(lease).
        Name servers are returned, and used with O(dhcp_dns).
      - The default route of a lease is taken only where the container has none, an engine's for instance. With
        O(gateway=dhcp) it is taken over from whoever has it. Where leases of several interfaces of a container name a
        router, the default route is that of the interface that has it already, else of the first in the list. A warning
        names the routers that are not used, and O(gateway=[]) says that they are not wanted.
      - Where an interface with static addresses comes to another network, and O(addresses) is not given, those go.
      - A lease that is valid is kept. It is asked for anew when it has expired, or when O(dhcp_hostname),
        O(dhcp_options), the MAC address or the network (O(host_interface), O(vlan)) change. It is renewed with
        O(dhcp_keep).
      - With O(state=absent) or O(purge), or with O(addresses) and without this, the lease is given back.
    type: str
    choices: [builtin, udhcpc, dhclient, dhcpcd, docker]
  dhcp_options:
    description:
      - Options for the server, each C(number=value) or one of C(requested-address=), C(lease-time=) (in seconds),
        C(vendor-class=) and C(client-id=) with a value. Hexadecimal begins with C(0x).
      - With O(dhcp=dhcpcd), only those that have a name.
    type: list
    elements: str
  dhcp_hostname:
    description: The name that the server is told. The default is the container's name.
    type: str
  dhcp_image:
    description:
      - With O(dhcp=docker), an image with C(/bin/sh) and C(udhcpc) or C(dhclient). Docker must have it; it is not
        fetched. The default is C(busybox).
    type: str
  dhcp_timeout:
    description: Seconds to wait for a server, or with O(accept_ra) for a router, 1 to 240. The default is 30.
    type: float
  dhcp6:
    description:
      - Ask a DHCPv6 server for an address, beside O(addresses). Nothing has to be installed for it. The address has the
        lifetimes that the server gives; it is returned as C(lease6), with name servers for O(dhcp_dns).
      - Default routes and the prefix of the segment come from routers, never from DHCPv6, so O(accept_ra) goes with it
        as a rule.
      - A lease that is valid is kept. It is asked for anew when it has expired, or when O(dhcp_hostname) changes.
        The DUID is the same for an attachment each time. It is renewed with O(dhcp_keep).
      - With O(state=absent), or with V(false), the lease is given back.
    type: bool
  accept_ra:
    description:
      - Let routers' advertisements give the interface addresses and a default route (SLAAC), beside O(addresses).
        The container's kernel does it, and goes on doing it. A default route of O(gateway) is preferred to theirs.
      - When something has changed, the module waits for an address, as long as O(dhcp_timeout) says, and warns if
        there is none. The addresses are returned as C(slaac).
      - With V(false), advertisements are ignored and their addresses removed. Without this option it is as it is.
    type: bool
  link_local:
    description:
      - Give the interface an IPv4 link-local address (RFC 3927), made from its MAC address, that nobody on the segment
        uses. It is returned as C(link_local). Nothing is needed in the container.
      - It is defended for as long as the container lives, by the same process as that of O(dhcp_keep). Who claims it
        is told that it is in use; when he goes on, it is given up and another one taken.
      - It is for an interface without any other IPv4 address, so not with some in O(addresses), nor with O(dhcp).
      - With V(false), it is removed.
    type: bool
  dhcp_keep:
    description:
      - Whether a client stays for as long as the container lives, for the leases of O(dhcp) and O(dhcp6). Before a
        lease ends it asks for more time, first the server that gave it and then any; where it was refused or has
        ended, it asks for another one. What is granted is used by the rules of O(dhcp) and O(dhcp6), and an address
        that is lost is removed.
      - One process on the host does so for all leases that are kept. It holds nothing of a container but the
        knowledge when it ends, and talks from inside its namespace only when something is due.
      - It is a client of ours also where a program of O(dhcp) got the lease. It goes on with the same client-id,
        hostname and O(dhcp_options).
      - V(false), the default, ends that, and leaves the lease as it is.
    type: bool
  dhcp_dns:
    description:
      - Whether the name servers and the domain of the lease of O(dhcp) or O(dhcp6) go into the container's own
        C(/etc/resolv.conf); for a named network namespace that is C(/etc/netns/NAME/resolv.conf), which
        C(ip netns exec) uses. The host's is never written.
      - They come as a block of ours at the top. Lines with C(nameserver), C(domain) and C(search) that were there
        become comments in the file itself, and come back with V(false), the default, and with O(state=absent).
      - It takes three servers, those of O(dhcp) first. A lease without any leaves the file as it is, with a warning.
      - With O(dhcp_keep) the file follows the lease. One attachment of a container can have it.
      - Refused where the container's own root could not write the file, where it is no regular file, has more than 64
        KiB or does not answer within three seconds, and for pods and network namespaces without a name, which have no
        files.
    type: bool
  mac_address:
    description:
      - The MAC address of the interface. V(U:) and any string gives an address that is the same each time
        for the same string.
      - One that something else on the same bridge or card has already, in whatever container, is refused.
    type: str
    aliases: [mac]
  mtu:
    description: The interface's MTU in bytes. The default is that of the bridge or network card.
    type: int
  vlan:
    description:
      - The VLAN of the container's interface, V(1) to V(4094). Frames that the container sends
        without a tag belong to it, and its frames reach the container without one.
      - With O(vlan_trunks), the native VLAN of the trunk.
      - On a network card, for kinds V(macvlan), V(macvtap) and V(ipvlan), the interface then stands on the VLAN's link,
        such as C(eth0.10), which is made if the card has none for this VLAN, and goes with the last that uses it.
        A link that somebody else made is used and stays. Without the option the interface stands on the card itself.
      - For kind V(sriov) the card itself puts the function into the VLAN.
      - A Linux bridge then has to filter VLANs. One that does not is made to, unless it has ports of others;
        see O(pipework.containers.pipework_bridge#module:vlan_filtering).
      - Without O(vlan) and O(vlan_trunks) the VLANs of a bridge's port are left as they are;
        a new port is in the bridge's default VLAN, or one of Open vSwitch in all of them.
    type: int
  vlan_trunks:
    description:
      - The VLANs whose frames pass with their tag, as IDs and ranges such as V(200-210), for kinds
        V(bridge) and V(openvswitch).
      - With O(vlan) or this option, the two are all the VLANs of the port.
    type: list
    elements: str
  vf:
    description:
      - The number of a virtual function of the card O(host_interface), for kind V(sriov). The first one is V(0).
      - The host makes them; C(echo 4 > /sys/class/net/eth0/device/sriov_numvfs) makes four. Their driver has to be
        loaded, and the card is set up if it is down.
    type: int
  pkey:
    description:
      - The partition key of an IPoIB interface, for kind V(ipoib), V(0x0001) to V(0xffff), but not V(0x8000);
        without C(0x) a decimal number. The highest bit makes a full member.
      - Another key means a new interface.
    type: str
  port:
    description:
      - Options of the port on the bridge, for kind V(bridge). Of these, V(openvswitch) has V(isolated).
        What is not given is left as it is.
      - Kind V(sriov) has O(port.mac_spoof_check) alone, and there the card does it.
    type: dict
    suboptions:
      isolated: {description: "Pass no frames from and to other isolated ports.", type: bool}
      hairpin: {description: Send frames back out of the port that they came in by., type: bool}
      learning: {description: Remember the addresses that are seen at the port., type: bool}
      mac_spoof_check:
        description:
          - Drop what the container sends from another MAC address than its interface was given, and ARP with another
            sender's address. A bridge inside the container, or a virtual machine, has no way out then.
          - The address is O(mac_address); without it the one that the interface has when the check is switched on,
            or for a new interface one that is the same each time for the same container.
          - It needs C(nft) on the host, and a kernel with C(CONFIG_NF_TABLES_NETDEV), as distributions have it.
        type: bool
  sysctls:
    description:
      - Kernel parameters of the interface in the container, such as V(net.ipv4.conf.IFNAME.arp_ignore), where C(IFNAME)
        stands for the interface's name, and their values.
      - Those under C(net.ipv4.conf), C(net.ipv6.conf), C(net.ipv4.neigh), C(net.ipv6.neigh) and C(net.mpls.conf)
        can be set. What is not listed is left as it is.
      - Values are decimal numbers, but that of C(stable_secret). Which numbers a parameter takes, the kernel says.
    type: dict
  bandwidth:
    description:
      - No more than these rates, in V(10mbit), V(512kbit), V(2mbps) (bytes) and so on. V({}) removes all limits.
      - C(egress) is what the container sends, which waits at its end, C(ingress) what it gets, which waits at the
        host's end. For kinds other than C(bridge) there is none, and what comes too fast is dropped as it comes in.
      - A container with C(CAP_NET_ADMIN) can remove what is at its own end.
      - C(burst) is how much may pass at once, by default what takes 4 ms (0.4 s where it is dropped), 32kb at least.
      - The interface has one qdisc at its root; M(pipework.containers.pipework_tc) can delay and limit at once, with
        C(delay) and C(rate) of C(netem).
    type: dict
    suboptions:
      ingress: {description: What the container gets., type: str}
      egress: {description: What the container sends., type: str}
      burst: {description: How much may pass at once., type: str}
  forwarding:
    description:
      - What to do where the host's packet filter would drop frames between the ports of the bridge,
        as it does where Docker runs and C(br_netfilter) is loaded.
      - V(auto) adds a rule for this bridge alone to the chains that would drop.
        It is removed with the bridge, or with the last attachment.
      - V(accept) adds it to each chain at the forward hook; V(unmanaged) leaves the filter alone.
      - The default is V(auto).
    type: str
    choices: [auto, accept, unmanaged]
  force:
    description:
      - Kinds V(phys) and V(sriov). Move the card although it carries the host's default route, the SSH session that
        runs the task, or interfaces of others (macvlan, ipvlan, VLAN), or is a port of a bridge. Without it, such a
        card is refused, and what it carries is named.
      - Interfaces that stand on the card stay where they are, and work over the card in the container. The kernel gives
        a VLAN interface the smaller MTU that the card has there, which that interface keeps.
    type: bool
  confirm_timeout:
    description:
      - Kinds V(phys) and V(sriov). Seconds after which the host brings the card home again, unless it was confirmed
        over a new connection, which the task does by itself. V(0), the default, brings nothing home.
        A later run of the same task confirms it too.
      - It needs a connection over the network. With C(ansible_connection=local) it is an error.
    type: int
  announce:
    description:
      - Look whether somebody else has a new address, and tell the neighbours of it. The default is V(true).
      - An IPv4 address is asked for before it is set, where somebody else can have it; that takes 0.2 seconds for all
        attachments together. For IPv6 the kernel looks, which takes one to two seconds, and is waited for.
        A duplicate is an error that names it, and all is taken back.
      - Across macvlans of one card and isolated ports, which may not hear each other, addresses are compared with those
        that other containers of the host have. A duplicate is refused before anything is changed.
      - A new gateway of IPv4 is asked for, too, once all is in place. Where nobody answers within 0.2 seconds, a
        warning says so, which only a real run can give.
      - Then gratuitous ARP and unsolicited neighbour advertisements are sent, and the kernel is asked to repeat them
        when the interface comes up again.
    type: bool
  peer:
    description:
      - The other end of the pair, for kind V(veth), which it makes the kind.
      - Both ends belong to the attachment. O(mtu), O(append), O(announce) and O(state) are those of both;
        O(host_interface) is not used. When either end goes, the kernel removes the other.
      - With O(state=absent) the pair is removed by the definition of either end.
    type: dict
    suboptions:
      container:
        description: The container at the other end; with V(runtime=host) none. It may be the same container.
        type: str
        aliases: [guest]
      runtime:
        description: Who knows it. The default is the O(runtime) of the attachment.
        type: str
        choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
      runtime_user: {description: The user whose rootless engine knows it., type: str}
      interface:
        description: The interface's name there. The default is V(eth1).
        type: str
        aliases: [container_interface]
      addresses: {description: "Its addresses, as O(addresses).", type: list, elements: str, aliases: [address]}
      gateway: {description: "Its gateways, as O(gateway).", type: list, elements: str}
      mac_address: {description: 'Its MAC address, as O(mac_address).', type: str, aliases: [mac]}
  state:
    description:
      - V(present) makes the attachment or changes it in place; V(absent) removes it.
        V(absent) also succeeds when the container is gone, and then cleans up what it left on the host, leases too.
      - The default is V(present).
    type: str
    choices: [present, absent]
  attachments:
    description:
      - Many attachments in one run. The options of the task are the defaults of each.
      - All are checked before anything is changed, and a failure takes all back.
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
      host_interface: {description: See O(host_interface)., type: str}
      kind:
        description: See O(kind).
        type: str
        choices: [auto, bridge, openvswitch, macvlan, macvtap, ipvlan, phys, sriov, ipoib, dummy, veth]
      mode:
        description: See O(mode).
        type: str
        choices: [bridge, private, vepa, passthru, source, l2, l3, l3s, datagram, connected]
      interface: {description: See O(interface)., type: str, aliases: [container_interface]}
      local_interface: {description: See O(local_interface)., type: str}
      addresses: {description: See O(addresses)., type: list, elements: str, aliases: [address]}
      append: {description: See O(append)., type: bool}
      gateway: {description: See O(gateway)., type: list, elements: str}
      gateway_metric: {description: See O(gateway_metric)., type: int}
      published_ports: {description: See O(published_ports)., type: str, choices: [keep, ignore]}
      table: {description: See O(table)., type: str}
      routes: {description: See O(routes)., type: list, elements: dict}
      rules: {description: See O(rules)., type: list, elements: dict}
      dhcp: {description: See O(dhcp)., type: str, choices: [builtin, udhcpc, dhclient, dhcpcd, docker]}
      dhcp_options: {description: See O(dhcp_options)., type: list, elements: str}
      dhcp_hostname: {description: See O(dhcp_hostname)., type: str}
      dhcp_image: {description: See O(dhcp_image)., type: str}
      dhcp_timeout: {description: See O(dhcp_timeout)., type: float}
      dhcp6: {description: See O(dhcp6)., type: bool}
      accept_ra: {description: See O(accept_ra)., type: bool}
      link_local: {description: See O(link_local)., type: bool}
      dhcp_keep: {description: See O(dhcp_keep)., type: bool}
      dhcp_dns: {description: See O(dhcp_dns)., type: bool}
      mac_address: {description: See O(mac_address)., type: str, aliases: [mac]}
      mtu: {description: See O(mtu)., type: int}
      vlan: {description: See O(vlan)., type: int}
      vlan_trunks: {description: See O(vlan_trunks)., type: list, elements: str}
      vf: {description: See O(vf)., type: int}
      pkey: {description: See O(pkey)., type: str}
      port:
        description: See O(port). It takes the place of the task's O(port) as a whole.
        type: dict
        suboptions:
          isolated: {description: "See O(port.isolated).", type: bool}
          hairpin: {description: "See O(port.hairpin).", type: bool}
          learning: {description: "See O(port.learning).", type: bool}
          mac_spoof_check: {description: "See O(port.mac_spoof_check).", type: bool}
      sysctls: {description: See O(sysctls)., type: dict}
      bandwidth:
        description: See O(bandwidth).
        type: dict
        suboptions:
          ingress: {description: See O(bandwidth.ingress)., type: str}
          egress: {description: See O(bandwidth.egress)., type: str}
          burst: {description: See O(bandwidth.burst)., type: str}
      forwarding: {description: See O(forwarding)., type: str, choices: [auto, accept, unmanaged]}
      force: {description: See O(force)., type: bool}
      confirm_timeout: {description: See O(confirm_timeout)., type: int}
      announce: {description: See O(announce)., type: bool}
      peer:
        description: See O(peer).
        type: dict
        suboptions:
          container: {description: See O(peer.container)., type: str, aliases: [guest]}
          runtime:
            description: See O(peer.runtime).
            type: str
            choices: [auto, docker, podman, lxc, incus, containerd, cri, nspawn, netns, pid, host]
          runtime_user: {description: See O(peer.runtime_user)., type: str}
          interface: {description: See O(peer.interface)., type: str, aliases: [container_interface]}
          addresses: {description: See O(peer.addresses)., type: list, elements: str, aliases: [address]}
          gateway: {description: See O(peer.gateway)., type: list, elements: str}
          mac_address: {description: See O(peer.mac_address)., type: str, aliases: [mac]}
      state: {description: See O(state)., type: str, choices: [present, absent]}
  purge:
    description:
      - With O(attachments), remove the attachments of this collection on this host that are not listed;
        only those on O(host_interface) or O(purge_on), if that is given.
    type: bool
    default: false
  confirm:
    description:
      - Change nothing, but confirm what an earlier run with O(confirm_timeout) has done. The task does this by itself.
        It is an error when the time is over.
    type: bool
    default: false
  purge_on:
    description: With O(purge), the host interfaces on which it removes. The default is O(host_interface).
    type: list
    elements: str
seealso:
  - module: pipework.containers.pipework_bridge
author:
  - pipework.containers contributors (@pipework)
"""

EXAMPLES = r"""
- name: Attach a container to a bridge, which is made if it is missing
  pipework.containers.pipework_attach:
    container: web1
    host_interface: br1
    addresses: [192.168.1.1/24, "2001:db8:1::1/64"]

- name: The same, with a gateway and an address that is always the same
  pipework.containers.pipework_attach:
    container: web1
    host_interface: br1
    addresses: [192.168.1.1/24]
    gateway: [192.168.1.254]
    mac_address: U:web1

- name: Let a container have an address on the network of a card
  pipework.containers.pipework_attach:
    container: web1
    host_interface: eth2
    addresses: [203.0.113.157/24]

- name: Two containers in VLAN 10 of a card
  pipework.containers.pipework_attach:
    host_interface: eth2
    vlan: 10
    attachments:
      - {container: web1, addresses: [203.0.113.157/24]}
      - {container: db1, addresses: [203.0.113.158/24]}

- name: A cable between two containers, without a bridge
  pipework.containers.pipework_attach:
    container: web1
    interface: eth2
    addresses: [10.9.0.1/30]
    peer:
      container: db1
      interface: eth2
      addresses: [10.9.0.2/30]

- name: Move a card into a container
  pipework.containers.pipework_attach:
    container: fast1
    host_interface: mac:52:54:00:12:34:56
    kind: phys
    interface: eth1

- name: Containers in VLANs of one bridge, and one that sees several of them
  pipework.containers.pipework_attach:
    host_interface: br1
    attachments:
      - {container: web1, addresses: [192.168.10.1/24], vlan: 10}
      - {container: db1, addresses: [192.168.20.1/24], vlan: 20, port: {isolated: true}}
      - {container: router1, vlan_trunks: [10, 20, 200-210]}

- name: The same on Open vSwitch
  pipework.containers.pipework_attach:
    host_interface: ovsbr0
    kind: openvswitch
    attachments:
      - {container: web1, addresses: [192.168.10.1/24], vlan: 10}
      - {container: router1, vlan: 10, vlan_trunks: [20, 200-210]}

- name: An interface that answers only for its own addresses
  pipework.containers.pipework_attach:
    container: web1
    host_interface: br1
    addresses: [192.168.1.1/24]
    bandwidth: {ingress: 10mbit, egress: 2mbit}
    sysctls:
      net.ipv4.conf.IFNAME.arp_ignore: 1
      net.ipv6.conf.IFNAME.accept_ra: 0

- name: Two networks with two gateways; each is answered through its own
  pipework.containers.pipework_attach:
    container: web1
    attachments:
      - {host_interface: br1, interface: eth1, addresses: [192.168.1.1/24], gateway: [192.168.1.254], table: 101}
      - host_interface: br2
        interface: eth2
        addresses: [192.168.2.1/24]
        gateway: [192.168.2.254]
        table: 102
        routes: [{destination: 10.0.0.0/8, gateway: 192.168.2.253}]
        rules: [{fwmark: 2}]

- name: A whole host in one task, and nothing else on br1
  pipework.containers.pipework_attach:
    host_interface: br1
    purge: true
    attachments:
      - {container: web1, addresses: [192.168.1.1/24]}
      - {container: db1, addresses: [192.168.1.2/24]}

- name: An address from a DHCP server on the card's network, the same one each time
  pipework.containers.pipework_attach:
    container: web1
    host_interface: eth1
    dhcp: builtin
    dhcp_keep: true
    mac_address: U:web1

- name: Remove an attachment
  pipework.containers.pipework_attach:
    container: web1
    host_interface: br1
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
    kind:
      description: "C(link), C(port), C(address), C(route), C(rule), C(sysctl), C(filter), C(ovs_bridge), …"
      type: str
      returned: always
    name: {description: "The object, such as C(docker:web1/eth1).", type: str, returned: always}
    before: {description: The object before., type: dict, returned: always}
    after: {description: The object after., type: dict, returned: always}
  sample:
    - {action: create, kind: link, name: docker:web1/eth1, before: {}, after: {type: veth, up: false, mtu: 1500}}
pending:
  description: Whether the move of a card waits to be confirmed. After the task, when it was confirmed, it is false.
  returned: with O(confirm_timeout)
  type: bool
attachments:
  description: The attachments that are present, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    container: {description: The container's name., type: str, returned: always}
    container_id: {description: Its ID in the runtime., type: str, returned: always}
    runtime: {description: The runtime that knows it., type: str, returned: always}
    kind: {description: The kind that V(auto) stood for., type: str, returned: always}
    host_interface:
      description: The bridge or network card; null for kinds V(dummy) and V(veth) where none is given.
      type: str
      returned: always
    local_interface: {description: "The host's end of a veth pair.", type: str, returned: always}
    interface: {description: The interface in the container., type: str, returned: always}
    mac_address:
      description: Its MAC address; null in check mode where the kernel will choose one.
      type: str
      returned: always
    addresses: {description: The addresses that this attachment gives it., type: list, elements: str, returned: always}
    gateway: {description: The default gateways through it., type: list, elements: str, returned: always}
    mtu: {description: Its MTU., type: int, returned: always}
    vlan:
      description: The VLAN of frames without a tag, on a card or on a bridge that filters VLANs; else null.
      type: int
      returned: always
    peer:
      description:
        - The other end, for kind V(veth); else null.
        - Its C(container), C(container_id), C(runtime), C(interface), C(mac_address), C(addresses) and C(gateway).
      type: dict
      returned: always
    vlan_trunks: {description: The VLANs that pass with their tag., type: list, elements: str, returned: always}
    lease:
      description:
        - What a DHCP server has granted, with O(dhcp). Null without, and in check mode where only the server can tell.
        - C(client), C(address), C(server), C(router), C(routes) (each C(destination) and C(gateway)), C(mtu), C(dns),
          C(domain), C(expires) (null where it lasts for ever) and C(keep).
        - C(keep) is what the client says that O(dhcp_keep) leaves behind, else null. Its C(pid); its C(state),
          V(bound), V(renewing), V(rebinding) or V(selecting); when it C(renewed) the lease last (null if not yet), and
          does something C(next); and the C(error) that it has met, or null.
      type: dict
      returned: always
    lease6:
      description:
        - What a DHCPv6 server has granted, with O(dhcp6). Null without, and in check mode where only the server can
          tell.
        - C(address), C(server) and C(duid) (the server's and the attachment's DUID), C(dns), C(domain), C(preferred)
          and C(expires) (null where it lasts for ever), and C(keep), as that of C(lease).
      type: dict
      returned: always
    slaac:
      description: The addresses that the kernel made of routers' advertisements, with O(accept_ra).
      type: list
      elements: str
      returned: always
    link_local: {description: The address of O(link_local). Null without., type: str, returned: always}
"""

from ansible_collections.pipework.containers.plugins.module_utils._engine.run import run
from ansible_collections.pipework.containers.plugins.module_utils._jobs.attach import AttachJob
from ansible_collections.pipework.containers.plugins.module_utils._module import CONTAINER, MISSING, run_module

PORT = {name: {"type": "bool"} for name in ("isolated", "hairpin", "learning", "mac_spoof_check")}
PEER = {
    **CONTAINER,
    "interface": {"type": "str", "aliases": ["container_interface"]},
    "addresses": {"type": "list", "elements": "str", "aliases": ["address"]},
    "gateway": {"type": "list", "elements": "str"},
    "mac_address": {"type": "str", "aliases": ["mac"]},
}
KINDS = [
    "auto", "bridge", "openvswitch", "macvlan", "macvtap", "ipvlan", "phys", "sriov", "ipoib", "dummy", "veth",
]
ITEM = {
    **CONTAINER,
    **MISSING,
    "host_interface": {"type": "str"},
    "kind": {"type": "str", "choices": KINDS},
    "mode": {"type": "str", "choices": [
        "bridge", "private", "vepa", "passthru", "source", "l2", "l3", "l3s", "datagram", "connected"]},
    "interface": {"type": "str", "aliases": ["container_interface"]},
    "local_interface": {"type": "str"},
    "addresses": {"type": "list", "elements": "str", "aliases": ["address"]},
    "append": {"type": "bool"},
    "gateway": {"type": "list", "elements": "str"},
    "gateway_metric": {"type": "int"},
    "published_ports": {"type": "str", "choices": ["keep", "ignore"]},
    "table": {"type": "str"},
    "routes": {"type": "list", "elements": "dict"},
    "rules": {"type": "list", "elements": "dict"},
    "dhcp": {"type": "str", "choices": ["builtin", "udhcpc", "dhclient", "dhcpcd", "docker"]},
    "dhcp_options": {"type": "list", "elements": "str"},
    "dhcp_hostname": {"type": "str"},
    "dhcp_image": {"type": "str"},
    "dhcp_timeout": {"type": "float"},
    "dhcp6": {"type": "bool"},
    "accept_ra": {"type": "bool"},
    "link_local": {"type": "bool"},
    "dhcp_keep": {"type": "bool"},
    "dhcp_dns": {"type": "bool"},
    "mac_address": {"type": "str", "aliases": ["mac"]},
    "mtu": {"type": "int"},
    "vlan": {"type": "int"},
    "vf": {"type": "int"},
    "pkey": {"type": "str", "no_log": False},  # the number of a partition, which is no secret
    "vlan_trunks": {"type": "list", "elements": "str"},
    "port": {"type": "dict", "options": PORT},
    "sysctls": {"type": "dict"},
    "bandwidth": {
        "type": "dict",
        "options": {"ingress": {"type": "str"}, "egress": {"type": "str"}, "burst": {"type": "str"}},
    },
    "forwarding": {"type": "str", "choices": ["auto", "accept", "unmanaged"]},
    "force": {"type": "bool"},
    "confirm_timeout": {"type": "int"},
    "announce": {"type": "bool"},
    "peer": {"type": "dict", "options": PEER},
    "state": {"type": "str", "choices": ["present", "absent"]},
}


def main() -> None:
    run_module(
        {
            **ITEM,
            "attachments": {"type": "list", "elements": "dict", "options": ITEM},
            "purge": {"type": "bool", "default": False},
            "confirm": {"type": "bool", "default": False},
            "purge_on": {"type": "list", "elements": "str"},
        },
        AttachJob,
        run,
    )


if __name__ == "__main__":
    main()
