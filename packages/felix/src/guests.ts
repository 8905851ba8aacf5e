// What the agent exchanges with guests themselves: answers for the gateways of workloads, and the packets of guests that live migration brings. Without CAP_NET_RAW the agent does neither,
// and does the rest of its work all the same.
import type { Logger } from '@calico-openstack/agent';
import type { Devices } from './devices.ts';
import type { HostKernel } from './host-kernel.ts';

/** The packet sockets towards guests. */
export class Guests {
  readonly #kernel: Pick<HostKernel, 'hearGuests' | 'answerForGateways'>;
  readonly #log: Logger;
  readonly #onHeard: () => void;
  #answers: { close(): void } | undefined;
  /** The sockets that receive guests' frames while a guest is awaited. */
  #hearing: { close(): void } | undefined;

  /** @param onHeard called when a guest that was awaited has been heard */
  constructor(kernel: Pick<HostKernel, 'hearGuests' | 'answerForGateways'>, log: Logger, onHeard: () => void) {
    this.#kernel = kernel;
    this.#log = log;
    this.#onHeard = onHeard;
  }

  /** Answers for the gateways of these devices from now on. */
  answerForGateways(devices: Pick<Devices, 'macOfGateway'>): void {
    try {
      this.#answers = this.#kernel.answerForGateways((linkIndex, address) => devices.macOfGateway(linkIndex, address));
    } catch (error) {
      this.#log.warn(
        { err: error },
        'cannot answer for the gateways of workloads; they have a network only where the kernel answers, which it does not without a default route or with arp_ignore 2 or 8; start Felix with CAP_NET_RAW',
      );
    }
  }

  /** Listens for guests while a workload is awaited by live migration. */
  hearAwaited(devices: Pick<Devices, 'areAnyAwaited' | 'heard'>): void {
    if (!devices.areAnyAwaited) {
      this.#hearing?.close();
      this.#hearing = undefined;
      return;
    }
    try {
      this.#hearing ??= this.#kernel.hearGuests((linkIndex) => {
        if (devices.heard(linkIndex)) this.#onHeard();
      });
    } catch (error) {
      this.#log.error(
        { err: error },
        'cannot hear the guests that migrate to this host: they get no packets until Neutron activates their ports here, seconds late; start Felix with CAP_NET_RAW',
      );
      this.#hearing = { close: () => undefined }; // a retry before the next migration would not help
    }
  }

  /** Closes the sockets. */
  close(): void {
    this.#answers?.close();
    this.#hearing?.close();
  }
}
