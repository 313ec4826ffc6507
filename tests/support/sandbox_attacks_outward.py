"""Attacks on what is outside: the network, the host's files, the kernel's interfaces."""

from __future__ import annotations

from tests.support.sandbox_attacks import (
    HOST_FILE,
    HOST_PORT,
    HOST_SOCKET,
    Attack,
    guarded,
    system_call,
)


def _network(name: str, holds: str, attempt: str, *, outside: bool = False) -> Attack:
    code = guarded(f"import socket\n{attempt}")
    return Attack(group="network", name=name, holds=holds, code=code, outside=outside)


NETWORK = (
    _network(
        "tcp-to-a-service-of-the-host",
        "a listener on the host's loopback is never reached",
        f"socket.create_connection(('127.0.0.1', {HOST_PORT}), timeout=1)",
        outside=True,
    ),
    _network(
        "tcp-to-the-internet",
        "no connection leaves",
        "socket.create_connection(('1.1.1.1', 53), timeout=1)",
    ),
    _network(
        "tcp-over-ipv6",
        "no connection leaves",
        "s = socket.socket(socket.AF_INET6); s.settimeout(1); s.connect(('2606:4700::1111', 53))",
    ),
    _network(
        "datagram",
        "nothing can be sent",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))",
    ),
    _network("name-lookup", "no name resolves", "socket.getaddrinfo('example.com', 80)"),
    _network(
        "raw-socket",
        "no raw socket",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    ),
    _network(
        "packet-socket", "no packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
    ),
    _network(
        "unix-socket-of-the-host",
        "a socket file of the host cannot be connected to",
        f"socket.socket(socket.AF_UNIX).connect('{HOST_SOCKET}')",
        outside=True,
    ),
    _network(
        "tunnel",
        "no network interface can be made",
        "import fcntl, os\nfd = os.open('/dev/net/tun', os.O_RDWR)\n"
        "fcntl.ioctl(fd, 0x400454ca, b'tun0' + bytes(12) + b'\\1\\0' + bytes(22))",
    ),
    _network(
        "vsock", "the hypervisor's sockets do not exist", "socket.socket(40).connect((2, 1024))"
    ),
    _network(
        "listen-for-the-host",
        "a port opened inside is not open outside",
        "s = socket.create_server(('0.0.0.0', 47613))\n"
        "s.settimeout(1)\n"
        "try: s.accept()\n"  # the host knocks meanwhile
        "except TimeoutError: pass\n"
        "names = [n for _, n in socket.if_nameindex()]\n"
        "assert any(n != 'lo' for n in names)",
    ),
)


def _files(name: str, holds: str, attempt: str, *, outside: bool = False) -> Attack:
    code = guarded(f"import os\n{attempt}")
    return Attack(group="host files", name=name, holds=holds, code=code, outside=outside)


FILES = (
    _files(
        "read-a-file-of-the-host",
        "a file of the host does not exist inside",
        f"open('{HOST_FILE}').read()",
        outside=True,
    ),
    _files(
        "write-a-file-of-the-host",
        "the host's file is unchanged",
        f"open('{HOST_FILE}', 'a').write('')",
        outside=True,
    ),
    _files("read-the-shadow-file", "no password file", "open('/etc/shadow').read()"),
    _files(
        "climb-with-dots",
        "the root is the sandbox's own",
        f"open('/tmp/../../../../..{HOST_FILE}').read()",
        outside=True,
    ),
    _files(
        "symlink-to-a-file-of-the-host",
        "a link leads nowhere else than its text inside",
        f"os.chdir('/tmp'); os.path.lexists('l') and os.unlink('l')\n"
        f"os.symlink('{HOST_FILE}', 'l'); open('l').read(); os.unlink('l')",
        outside=True,
    ),
    _files(
        "hardlink-to-write-a-package",
        "the root file system is read-only",
        "os.link('/usr/local/lib/python3.11/os.py', '/tmp/os.py'); open('/tmp/os.py', 'a')",
    ),
    _files(
        "write-the-standard-library",
        "the root file system is read-only",
        "open('/usr/local/lib/python3.11/os.py', 'a')",
    ),
    _files(
        "write-the-guest-itself",
        "the guest's code is read-only",
        "open('/opt/rstar/rstar_sandbox/guest/steps.py', 'a')",
    ),
    _files("write-to-the-root", "nothing can be made there", "os.mkdir('/evil')"),
    _files(
        "root-of-another-process",
        "no other process is seen",
        "os.listdir(f'/proc/{1}/root/')",
    ),
    _files(
        "environment-of-the-first-process",
        "it cannot be read",
        "open('/proc/1/environ', 'rb').read()",
    ),
    _files(
        "memory-through-proc",
        "one's own memory is not a file",
        "open('/proc/self/mem', 'r+b')",
        outside=True,
    ),
    Attack(
        group="host files",
        name="secrets-in-the-environment",
        holds="no variable of the service is inside",
        code="import os\nprint('BREACH' if any('RSTAR' in k for k in os.environ) else 'HELD')",
        outside=True,
    ),
    Attack(
        group="host files",
        name="inherited-descriptors",
        holds="no file of the host is open: four descriptors, none of them a host's file",
        code="""
import os, stat
found = []
for fd in range(256):
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        continue
    found.append((fd, stat.S_IFMT(mode)))
files = [fd for fd, kind in found if kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFBLK)]
print('BREACH' if files or len(found) > 4 else 'HELD')
""",
    ),
    _files("shell", "there is no program to start", "assert os.system('true') == 0", outside=True),
    _files(
        "device-node",
        "no device can be made",
        "os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))",
    ),
    _files(
        "devices",
        "no device but the harmless ones",
        "for name in ('mem', 'kmsg', 'sda', 'vda', 'kvm', 'port', 'loop0'):\n"
        "    try: os.open(f'/dev/{name}', os.O_RDWR); break\n"
        "    except OSError: pass\nelse: raise OSError",
    ),
    _files("kernel-settings", "no /proc/sys", "open('/proc/sys/kernel/hostname').read()"),
    _files(
        "sysfs",
        "no device, network or firmware of the host is told of",
        "assert any(os.listdir('/sys/' + n) for n in ('block', 'bus', 'firmware', 'class/net'))",
        outside=True,
    ),
)


def _kernel(name: str, holds: str, number: int, *arguments: str) -> Attack:
    code = system_call(number, *arguments)
    return Attack(group="kernel interfaces", name=name, holds=holds, code=code)


REFUSED = "the call is refused"

KERNEL = (
    _kernel("ptrace-attach", REFUSED, 101, "16", "1", "0", "0"),
    _kernel("mount", REFUSED, 165, "b'none'", "b'/tmp'", "b'tmpfs'", "0", "0"),
    _kernel("unmount", REFUSED, 166, "b'/proc'", "2"),
    _kernel("pivot-root", REFUSED, 155, "b'/tmp'", "b'/tmp'"),
    _kernel("chroot", REFUSED, 161, "b'/tmp'"),
    _kernel("unshare-user-namespace", REFUSED, 272, "0x10000000"),
    _kernel("unshare-mount-namespace", REFUSED, 272, "0x20000"),
    _kernel("setns", REFUSED, 308, "3", "0"),
    _kernel("clone-with-namespaces", REFUSED, 56, "0x10020000 | 17", "0", "0", "0", "0"),
    _kernel("clone3", "the call does not exist", 435, "b'\\0' * 88", "88"),
    _kernel("read-another-process", REFUSED, 310, "1", "0", "0", "0", "0", "0"),
    _kernel("write-another-process", REFUSED, 311, "1", "0", "0", "0", "0", "0"),
    _kernel("io-uring", REFUSED, 425, "1", "ctypes.create_string_buffer(256)"),
    _kernel("userfaultfd", REFUSED, 323, "0"),
    _kernel("memfd", "no memory outside the limits", 319, "b'm'", "0"),
    _kernel("memfd-secret", "no memory outside the limits", 447, "0"),
    _kernel("system-v-memory", "no memory outlives a run", 29, "0x5151", "4096", "0o1666"),
    _kernel("message-queue", "no queue outlives a run", 68, "0x5151", "0o1666"),
    _kernel("semaphore", "no semaphore outlives a run", 64, "0x5151", "1", "0o1666"),
    _kernel("keyring", REFUSED, 250, "0", "-3", "1"),
    _kernel("bpf", REFUSED, 321, "0", "ctypes.create_string_buffer(128)", "128"),
    _kernel("perf-events", REFUSED, 298, "ctypes.create_string_buffer(128)", "0", "-1", "-1", "0"),
    _kernel("filter-of-ones-own", REFUSED, 317, "1", "0", "ctypes.create_string_buffer(64)"),
    _kernel("open-by-handle", REFUSED, 304, "3", "ctypes.create_string_buffer(64)", "0"),
    _kernel("descriptor-of-another", REFUSED, 438, "0", "1", "0"),
    _kernel("become-root", "the user cannot be changed back", 117, "0", "0", "0"),
    _kernel("join-groups", REFUSED, 116, "1", "ctypes.create_string_buffer(4)"),
    _kernel("raise-priority", REFUSED, 141, "0", "0", "-20"),
    _kernel("set-the-host-name", REFUSED, 170, "b'evil'", "4"),
    _kernel("load-a-module", REFUSED, 175, "ctypes.create_string_buffer(64)", "64", "b''"),
    _kernel("reboot", REFUSED, 169, "0xfee1dead", "672274793", "0"),
    _kernel("x32-calls", "numbers of another architecture are unknown", 0x40000000 | 39),
    Attack(
        group="kernel interfaces",
        name="capabilities",
        holds="none is effective or can be had",
        code="""
import ctypes
libc = ctypes.CDLL(None)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)()
libc.syscall(125, header, data)
some = any(data)
data[0] = data[1] = 0xffffffff
print('BREACH' if some or libc.syscall(126, header, data) == 0 else 'HELD')
""",
    ),
    Attack(
        group="kernel interfaces",
        name="raise-a-limit",
        holds="limits only go down",
        code=guarded(
            "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)"
        ),
    ),
)
