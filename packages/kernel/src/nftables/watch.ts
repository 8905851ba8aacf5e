// Who else changes the ruleset: the kernel tells after every transaction, so that what others did to our tables need not wait for the next periodic look.
import { readAttributes, readBe32, readString } from '../netlink/attributes.ts';
import type { NetlinkMonitor, Subscription } from '../netlink/monitor.ts';
import { netlinkProtocol } from '../netlink/socket.ts';
import * as nft from './protocol.ts';

/** Who committed a transaction, as the kernel tells it; undefined: the kernel had to drop some news. */
export type Committer = { readonly processId: number; readonly processName: string } | undefined;

/**
 * Calls `onOthers` after transactions of others, on whatever table: what they changed is not told, so `distrust` and `apply` then (not at every single one, where
 * somebody never stops). `ports`: those of our tables (`OpenTable.portId`), asked each time. Throws NetlinkError when the kernel refuses.
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
