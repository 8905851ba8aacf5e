// Reports to systemd that the process is ready, that it is alive, and that it ends: the protocol of sd_notify(3). Node has no datagram sockets of this kind, so the C library is called.
import { endianness } from 'node:os';

/** The end of systemd to which a service reports. */
export interface ServiceManager {
  /** Reports that the service does its work. systemd then starts units that are ordered after this one. From now on the watchdog gets its reports, if systemd has one for this service. */
  ready(): void;
  /** Reports that the service ends in order. */
  stopping(): void;
}

/** The variables by which systemd says where to report, and how often. */
export type ServiceEnvironment = { NOTIFY_SOCKET?: string; WATCHDOG_USEC?: string; WATCHDOG_PID?: string };

/**
 * Opens the socket that the environment names, and removes systemd's variables from the environment, so that child processes do not report in this process's name.
 * Returns undefined when no systemd waits for reports. A report that systemd does not take is lost; nothing else depends on it.
 *
 * The watchdog gets its reports from a timer of the event loop, at half the interval that systemd allows. So systemd kills and restarts a process whose loop no longer turns.
 */
export async function openServiceManager(environment: ServiceEnvironment): Promise<ServiceManager | undefined> {
  const { NOTIFY_SOCKET: path, WATCHDOG_USEC: limitMicroseconds, WATCHDOG_PID: watched } = environment;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const) delete environment[name];
  if (path === undefined || !/^[/@]./.test(path) || Buffer.byteLength(path) > pathBytesMax) return undefined;
  const send = await openSender(path);
  if (!send) return undefined;
  const watchdogMs = watched === undefined || Number(watched) === process.pid ? Number(limitMicroseconds ?? 0) / 1000 / 2 : 0;
  return {
    ready() {
      send('READY=1');
      if (watchdogMs > 0) setInterval(() => send('WATCHDOG=1'), watchdogMs).unref();
    },
    stopping: () => send('STOPPING=1'),
  };
}

/** The length of `sun_path` in struct sockaddr_un (unix(7)). */
const pathBytesMax = 107;
const [AF_UNIX, SOCK_DGRAM, SOCK_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL] = [1, 2, 0x80000, 0x40, 0x4000];

async function openSender(path: string): Promise<((text: string) => void) | undefined> {
  const sendTo = await openDatagrams();
  return sendTo && ((text) => void sendTo(path, Buffer.from(text)));
}

/** Sends a datagram to the socket of this name without waiting. Returns whether it was taken. */
export type SendTo = (path: string, bytes: Uint8Array) => boolean;

/** Opens a socket for datagrams to local sockets; undefined when the kernel refuses one. */
export async function openDatagrams(): Promise<SendTo | undefined> {
  const { default: koffi } = await import('koffi');
  const libc = koffi.load('libc.so.6');
  const fd: number = libc.func('int socket(int, int, int)')(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const sendTo = libc.func('long sendto(int, const uint8_t *, size_t, int, const uint8_t *, uint32_t)');
  const addresses = new Map<string, Uint8Array>();
  return (path, bytes) => {
    const address = addresses.get(path) ?? unixAddress(path);
    addresses.set(path, address);
    return sendTo(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.length) === bytes.length;
  };
}

/** The bytes of a struct sockaddr_un. @param path a path, or `@` and an abstract name (unix(7)) */
export function unixAddress(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (path.startsWith('@')) name[0] = 0;
  const family = endianness() === 'LE' ? [AF_UNIX, 0] : [0, AF_UNIX];
  return Buffer.concat([Uint8Array.from(family), name]);
}
