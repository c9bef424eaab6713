/*
 * Copyright: pipework.containers contributors
 * GNU General Public License v3.0+ (see LICENSE)
 *
 * The floor of the benchmark: the fewest netlink messages that attach COUNT named namespaces to a Linux bridge,
 * each sent once and its acknowledgement checked. Nothing is read back and nothing is undone.
 *
 *   floor live        BRIDGE COUNT   the bridge exists and is up
 *   floor new         BRIDGE COUNT   the bridge is made first and brought up last
 *   floor delete      BRIDGE COUNT   all host ends into one link group, then the group is deleted
 *   floor delete-each BRIDGE COUNT   one RTM_DELLINK for each host end
 *
 * The namespaces pwb0000, pwb0001, ... exist already; the host ends are pwh0000, ..., the ends inside eth1 with
 * 10.77.x.y/16. Prints the milliseconds from the start of main() to the last acknowledgement.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MTU 1500
#define GROUP 0x70776266
#define REQUESTS_PER_WRITE 32

/* Several requests that go out in one write; their acknowledgements are read together. */
struct batch {
    int count;
    unsigned int length;
    char name[REQUESTS_PER_WRITE][32];   /* what to say when the kernel refuses one */
    char data[REQUESTS_PER_WRITE * 256];
};

static unsigned int sequence;

static void die(const char *format, ...)
{
    va_list arguments;

    fputs("floor: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static int open_netlink(void)
{
    int on = 1, sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (sock < 0)
        die("socket: %s", strerror(errno));
    setsockopt(sock, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
    return sock;
}

static void *begin(struct batch *batch, const char *name, int type, int flags, size_t body)
{
    struct nlmsghdr *header = (struct nlmsghdr *)(batch->data + batch->length);

    memset(header, 0, NLMSG_SPACE(body));
    header->nlmsg_len = NLMSG_LENGTH(body);
    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    header->nlmsg_seq = ++sequence;
    snprintf(batch->name[batch->count], sizeof(batch->name[0]), "%s", name);
    return NLMSG_DATA(header);
}

static struct nlmsghdr *current(struct batch *batch)
{
    return (struct nlmsghdr *)(batch->data + batch->length);
}

static struct rtattr *attribute(struct batch *batch, int type, const void *value, size_t size)
{
    struct nlmsghdr *header = current(batch);
    struct rtattr *attr = (struct rtattr *)((char *)header + NLMSG_ALIGN(header->nlmsg_len));

    attr->rta_type = type;
    attr->rta_len = RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(attr), value, size);
    header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_SPACE(size);
    return attr;
}

static void number(struct batch *batch, int type, unsigned int value)
{
    attribute(batch, type, &value, sizeof(value));
}

static void text(struct batch *batch, int type, const char *value)
{
    attribute(batch, type, value, strlen(value) + 1);
}

static void close_nest(struct batch *batch, struct rtattr *nest)
{
    struct nlmsghdr *header = current(batch);

    nest->rta_len = (char *)header + header->nlmsg_len - (char *)nest;
}

static void flush(int sock, struct batch *batch)
{
    unsigned int first = sequence - batch->count + 1;
    int acknowledged = 0;
    char answer[16384];

    if (!batch->count)
        return;
    if (send(sock, batch->data, batch->length, 0) != (ssize_t)batch->length)
        die("send: %s", strerror(errno));
    while (acknowledged < batch->count) {
        int left = recv(sock, answer, sizeof(answer), 0);
        struct nlmsghdr *header = (struct nlmsghdr *)answer;

        if (left < 0)
            die("recv: %s", strerror(errno));
        for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            struct nlmsgerr *error = NLMSG_DATA(header);

            if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_seq != first + acknowledged)
                die("unexpected answer of type %d", header->nlmsg_type);
            if (error->error)
                die("%s: %s", batch->name[acknowledged], strerror(-error->error));
            acknowledged++;
        }
    }
    batch->count = 0;
    batch->length = 0;
}

static void end(int sock, struct batch *batch)
{
    batch->length += NLMSG_ALIGN(current(batch)->nlmsg_len);
    if (++batch->count == REQUESTS_PER_WRITE)
        flush(sock, batch);
}

static unsigned int link_index(int sock, const char *name)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    if (ioctl(sock, SIOCGIFINDEX, &request) < 0)
        die("%s: %s", name, strerror(errno));
    return request.ifr_ifindex;
}

/* Changes of an existing link: flags, and at most one attribute. By index, or by name when the index is 0. */
static void set_link(int sock, struct batch *batch, const char *name, unsigned int index, int up, int type, unsigned int value)
{
    struct ifinfomsg *info = begin(batch, name, RTM_SETLINK, 0, sizeof(*info));

    info->ifi_index = index;
    if (up)
        info->ifi_flags = info->ifi_change = IFF_UP;
    if (!index)
        text(batch, IFLA_IFNAME, name);
    if (type)
        number(batch, type, value);
    end(sock, batch);
}

static void make_bridge(int sock, struct batch *batch, const char *name)
{
    struct rtattr *nest;

    begin(batch, name, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    text(batch, IFLA_IFNAME, name);
    number(batch, IFLA_MTU, MTU);
    nest = attribute(batch, IFLA_LINKINFO, NULL, 0);
    text(batch, IFLA_INFO_KIND, "bridge");
    close_nest(batch, nest);
    end(sock, batch);
    flush(sock, batch);
}

static void make_veth(int sock, struct batch *batch, const char *name, int namespace)
{
    struct ifinfomsg peer = {0};
    struct rtattr *info, *data, *nest;

    begin(batch, name, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    text(batch, IFLA_IFNAME, name);
    number(batch, IFLA_MTU, MTU);
    info = attribute(batch, IFLA_LINKINFO, NULL, 0);
    text(batch, IFLA_INFO_KIND, "veth");
    data = attribute(batch, IFLA_INFO_DATA, NULL, 0);
    nest = attribute(batch, VETH_INFO_PEER, &peer, sizeof(peer));
    text(batch, IFLA_IFNAME, "eth1");
    number(batch, IFLA_MTU, MTU);
    number(batch, IFLA_NET_NS_FD, namespace);
    close_nest(batch, nest);
    close_nest(batch, data);
    close_nest(batch, info);
    end(sock, batch);
    flush(sock, batch);
}

static void configure_guest(struct batch *batch, int namespace, int home, int number_of_guest)
{
    struct in_addr address = {htonl(0x0a4d0001u + number_of_guest)};
    struct in_addr broadcast = {htonl(0x0a4dffffu)};
    struct ifaddrmsg *body;
    unsigned int index;
    int sock;

    if (setns(namespace, CLONE_NEWNET) < 0)
        die("setns: %s", strerror(errno));
    sock = open_netlink();
    if (setns(home, CLONE_NEWNET) < 0)
        die("setns back: %s", strerror(errno));
    index = link_index(sock, "eth1");
    set_link(sock, batch, "eth1", index, 1, 0, 0);
    body = begin(batch, "address", RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*body));
    body->ifa_family = AF_INET;
    body->ifa_prefixlen = 16;
    body->ifa_index = index;
    attribute(batch, IFA_LOCAL, &address, sizeof(address));
    attribute(batch, IFA_ADDRESS, &address, sizeof(address));
    attribute(batch, IFA_BROADCAST, &broadcast, sizeof(broadcast));
    end(sock, batch);
    flush(sock, batch);
    close(sock);
}

static void attach(int sock, struct batch *batch, const char *bridge, int count, int is_new)
{
    char path[64], name[IFNAMSIZ];
    unsigned int master;
    int i, home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (home < 0)
        die("/proc/self/ns/net: %s", strerror(errno));
    if (is_new)
        make_bridge(sock, batch, bridge);
    for (i = 0; i < count; i++) {
        int namespace;

        snprintf(path, sizeof(path), "/run/netns/pwb%04d", i);
        snprintf(name, sizeof(name), "pwh%04d", i);
        namespace = open(path, O_RDONLY | O_CLOEXEC);
        if (namespace < 0)
            die("%s: %s", path, strerror(errno));
        make_veth(sock, batch, name, namespace);
        configure_guest(batch, namespace, home, i);
        close(namespace);
    }
    /* Ports join last: frames that new ends send by themselves are flooded to all ports there are so far. */
    master = link_index(sock, bridge);
    for (i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "pwh%04d", i);
        set_link(sock, batch, name, 0, 1, IFLA_MASTER, master);
    }
    if (is_new)
        set_link(sock, batch, bridge, master, 1, 0, 0);
    flush(sock, batch);
}

static void delete(int sock, struct batch *batch, int count, int by_group)
{
    char name[IFNAMSIZ];
    int i;

    for (i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "pwh%04d", i);
        if (by_group) {
            set_link(sock, batch, name, 0, 0, IFLA_GROUP, GROUP);
        } else {
            begin(batch, name, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
            text(batch, IFLA_IFNAME, name);
            end(sock, batch);
        }
    }
    if (by_group) {
        flush(sock, batch);
        begin(batch, "group", RTM_DELLINK, 0, sizeof(struct ifinfomsg));
        number(batch, IFLA_GROUP, GROUP);
        end(sock, batch);
    }
    flush(sock, batch);
}

int main(int argc, char **argv)
{
    static struct batch batch;
    struct timespec start, stop;
    int sock, count;

    clock_gettime(CLOCK_MONOTONIC, &start);
    if (argc != 4 || (count = atoi(argv[3])) < 1 || count > 1023)
        die("usage: floor live|new|delete|delete-each BRIDGE COUNT");
    sock = open_netlink();
    if (!strcmp(argv[1], "live") || !strcmp(argv[1], "new"))
        attach(sock, &batch, argv[2], count, argv[1][0] == 'n');
    else if (!strcmp(argv[1], "delete") || !strcmp(argv[1], "delete-each"))
        delete(sock, &batch, count, !argv[1][6]);
    else
        die("unknown action %s", argv[1]);
    clock_gettime(CLOCK_MONOTONIC, &stop);
    printf("%.3f\n", (stop.tv_sec - start.tv_sec) * 1e3 + (stop.tv_nsec - start.tv_nsec) / 1e6);
    return 0;
}
