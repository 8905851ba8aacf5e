import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { flag, MessageWriter, readAttributes, readString } from './attributes.ts';
import { inNamespace } from './namespace.ts';
import { NetlinkError, type NetlinkSocket, netlinkProtocol, openNetlinkDescriptor, openNetlinkSocket } from './socket.ts';

const newLink = 16;
const getLink = 18;
const interfaceNameAttribute = 3;
const namespace = `nlsock-${process.pid}`;
let socket: NetlinkSocket;
beforeEach(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  socket = inNamespace(namespace, () => openNetlinkSocket(netlinkProtocol.route));
});
afterEach(() => {
  socket.close();
  execFileSync('ip', ['netns', 'del', namespace]);
});

function message(type: number, flags: number, name?: string): Uint8Array {
  const writer = new MessageWriter(128);
  writer.begin(type, flag.request | flags, socket.nextSequence());
  writer.raw(new Uint8Array(16));
  if (name !== undefined) writer.string(interfaceNameAttribute, name);
  writer.end();
  return writer.bytes();
}
const names = (): string[] =>
  socket
    .exchange([message(getLink, flag.dump)])
    .answers.map(({ payload }) => readString(readAttributes(payload, 16).get(interfaceNameAttribute) ?? new Uint8Array()));

test('a dump is read as a whole', () => {
  execFileSync('ip', ['-n', namespace, '-batch', '-'], { input: Array.from({ length: 300 }, (_, at) => `link add many${at} type ifb\n`).join('') });
  expect(names().filter((name) => name.startsWith('many'))).toHaveLength(300);
});

test('each of several requests gets its answer or its refusal, with the reason and its position', () => {
  const requests = [
    message(getLink, flag.acknowledge, 'lo'),
    message(getLink, flag.acknowledge, 'nowhere'),
    message(newLink, flag.acknowledge | flag.create, 'a-name-that-is-too-long-for-an-interface'),
    message(getLink, 0, 'lo'),
  ];
  const { answers, refusals } = socket.exchange(requests);
  expect(answers.map(({ sequence }) => sequence)).toEqual([1, 4]);
  expect(refusals.map(({ sequence }) => sequence)).toEqual([2, 3]);
  expect(refusals.map(({ code }) => code)).toEqual(['ENODEV', 'ERANGE']);
  expect(refusals[1]).toMatchObject({ detail: 'Attribute failed policy validation', offset: 32 });
});

test('a closed socket cannot be used, and closing it again does nothing', () => {
  socket.close();
  expect(() => socket.exchange([message(getLink, flag.acknowledge, 'lo')])).toThrow(new NetlinkError('EBADF', 'this netlink socket is closed'));
});

test('a group that does not exist is named in the error', () => {
  expect(() => openNetlinkDescriptor(netlinkProtocol.route, [4711])).toThrow('cannot join group 4711 of netlink protocol 0: EINVAL');
});
