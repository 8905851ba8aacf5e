// Watches for other programs' changes of the ruleset. The kernel reports every transaction, so changes of our tables need not wait for the next periodic check.
import { readAttributes, readBe32, readString } from '../netlink/attributes.ts';
import type { NetlinkMonitor, Subscription } from '../netlink/monitor.ts';
import { netlinkProtocol } from '../netlink/socket.ts';
import * as nft from './protocol.ts';

/** The process that committed a transaction; undefined when the kernel had to drop some reports. */
export type Committer = { readonly processId: number; readonly processName: string } | undefined;

/**
 * Calls `onOthers` after transactions of other programs on any table. The reports do not say what was changed, so the caller should `distrust` and `apply`, but not for
 * each of many reports. `ports` returns the port ids of our own tables (`OpenTable.portId`); it is called each time. Throws NetlinkError when the kernel refuses the subscription.
 */
export function watchRuleset(monitor: NetlinkMonitor, ports: () => readonly (number | undefined)[], onOthers: (who: Committer) => void): Subscription {
  const type = nft.messageType(nft.message.newGeneration);
  return monitor.subscribe(
    netlinkProtocol.netfilter,
    [nft.rulesetGroup],
    (messages) => {
      const ours = new Set(ports());
      for (const { portId, payload } of messages) {
        if (ours.has(portId)) continue;
        const attributes = readAttributes(payload, nft.headerLength);
        const processId = attributes.get(nft.generation.processId);
        const processName = attributes.get(nft.generation.processName);
        onOthers({ processId: processId === undefined ? 0 : readBe32(processId), processName: processName === undefined ? '' : readString(processName) });
      }
    },
    () => onOthers(undefined),
    type,
  );
}
