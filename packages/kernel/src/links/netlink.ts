// Links by rtnetlink.
import { openMonitor } from '../netlink/monitor.ts';
import { NetlinkError, netlinkProtocol, openNetlinkSocket } from '../netlink/socket.ts';
import { isInterfaceName, type LinkEditor, type LinkEvent, type LinkReading, type LinkRefusal, type LinkSource, type Links } from './link.ts';
import { type LinksOptions, linksFrom } from './links.ts';
import { changeAddress, createLink, dumpAddresses, dumpLinks, getLink, linkGroups, readLinkMessage, removeLink, setLink } from './messages.ts';

/** The kernel was short of memory, or too much changed at once to be read in one piece. */
const isTransient = (error: unknown): boolean => error instanceof NetlinkError && ['EINTR', 'ENOBUFS', 'ETIMEDOUT'].includes(error.code);

/**
 * The links of the calling thread's network namespace; sockets stay in it (see `inNamespace`). Keeps the process alive until closed. Throws NetlinkError when the
 * kernel does not let itself be read.
 */
export function openLinks(options: Pick<LinksOptions, 'onTrouble'> = {}): Links & LinkEditor {
  const socket = openNetlinkSocket(netlinkProtocol.route);
  const monitor = openMonitor();

  /** One request; throws when it is refused. */
  function ask(request: Uint8Array, what: string): readonly LinkEvent[] {
    const { answers, refusals } = socket.exchange([request]);
    const [refusal] = refusals;
    if (refusal) throw new NetlinkError(refusal.code, `cannot read ${what}: the kernel says ${refusal.code}${refusal.detail ? ` (${refusal.detail})` : ''}`);
    return answers.flatMap((answer) => readLinkMessage(answer) ?? []);
  }

  const source: LinkSource = {
    read(): LinkReading {
      const links = ask(dumpLinks(socket.nextSequence()), 'the links');
      const addresses = ask(dumpAddresses(socket.nextSequence()), "the links' addresses");
      return {
        links: links.flatMap((event) => (event.event === 'link' ? [event.link] : [])),
        addresses: addresses.flatMap((event) => (event.event === 'address' ? [event] : [])),
      };
    },
    watch: (onEvents, onLost) =>
      monitor.subscribe(
        netlinkProtocol.route,
        linkGroups,
        (messages) => {
          const events = messages.flatMap((message) => readLinkMessage(message) ?? []);
          if (events.length > 0) onEvents(events);
        },
        onLost,
      ),
    nameOf: (index) => find(index)?.name,
    close() {
      monitor.close();
      socket.close();
    },
  };

  function find(which: number | string): { readonly name: string; readonly index: number } | undefined {
    for (const answer of socket.exchange([getLink(socket.nextSequence(), which)]).answers) {
      const event = readLinkMessage(answer);
      if (event?.event === 'link') return event.link;
    }
    return undefined;
  }

  function tell(request: Uint8Array): LinkRefusal | undefined {
    const [refusal] = socket.exchange([request]).refusals;
    return refusal && { code: refusal.code, ...(refusal.detail === undefined ? {} : { detail: refusal.detail }) };
  }

  /** The index of the link. It is looked up now unless the caller gives it, because known events may be about an earlier link of this name. */
  function onLink(name: string, request: (index: number) => Uint8Array, known?: number): LinkRefusal | undefined {
    const link = known === undefined ? find(name) : { index: known };
    return link ? tell(request(link.index)) : { code: 'ENODEV', detail: `there is no link ${name}` };
  }

  /** The kernel reads `tap%d` as "the first free number". */
  const named = (name: string): LinkRefusal | undefined =>
    isInterfaceName(name) ? undefined : { code: 'EINVAL', detail: `${JSON.stringify(name)} is no interface's name` };

  return {
    ...linksFrom(source, { ...options, isTransient }),
    createLink: (name, kind) => named(name) ?? tell(createLink(socket.nextSequence(), name, kind)),
    removeLink: (name) => tell(removeLink(socket.nextSequence(), name)),
    indexOf: (name) => find(name)?.index,
    setLink: (name, change) => named(change.name ?? name) ?? onLink(name, (index) => setLink(socket.nextSequence(), index, change)),
    addAddress: (name, address, prefixLength, addressOptions) =>
      onLink(name, (index) => changeAddress('add', socket.nextSequence(), index, address, prefixLength, addressOptions), addressOptions?.index),
    removeAddress: (name, address, prefixLength, addressOptions) =>
      onLink(name, (index) => changeAddress('remove', socket.nextSequence(), index, address, prefixLength), addressOptions?.index),
  };
}
