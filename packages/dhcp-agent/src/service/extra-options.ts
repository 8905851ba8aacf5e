// Converts a tenant's own DHCP options for a port (Neutron's `extra_dhcp_opts`) to values that may be sent. Whatever the text contains, the result is one option with its code and nothing else.
import { addressBytes, familyOf, type IpAddress, type IpFamily, parseAddress } from '@calico-openstack/addresses';
import { type DhcpValueType, dhcpOptionOf, type ExtraDhcpOption } from '@calico-openstack/datamodel';
import { isDomain } from './names.ts';
import type { DhcpOption, OptionValue } from './service.ts';

/** The longest value that Neutron's API accepts, which is also the most that a DHCPv4 option can hold, in bytes. */
const valueMax = 255;

/** The options of a family that can be sent, each code once (the last one counts), and a sentence for each that cannot. For IPv6 every value is converted to bytes. */
export function extraOptions(
  family: IpFamily,
  extra: readonly ExtraDhcpOption[],
): { readonly options: readonly DhcpOption[]; readonly problems: readonly string[] } {
  const options = new Map<number, DhcpOption>();
  const problems: string[] = [];
  for (const { name, value: text } of extra.filter((one) => one.family === family)) {
    const option = dhcpOptionOf(family, name);
    const value = option && text.length <= valueMax ? optionValue(family, option.type, text.trim()) : undefined;
    const shown = `extra DHCPv${family} option ${JSON.stringify(name.slice(0, 64))}`;
    if (!option) problems.push(`the ${shown} is not sent: it is no option that a port may have`);
    else if (!value) problems.push(`the ${shown} is not sent: ${JSON.stringify(text.slice(0, 64))} is no value of it`);
    else options.set(option.code, { code: option.code, value });
  }
  return { options: [...options.values()], problems };
}

const ranges = { number8: 0xff, number16: 0xffff, number32: 0xffff_ffff } as const;

function optionValue(family: IpFamily, type: DhcpValueType, text: string): OptionValue | undefined {
  switch (type) {
    case 'addresses': {
      const addresses = addressesIn(family, text);
      if (!addresses) return undefined;
      return family === 4 ? { kind: 'addresses', addresses } : bytes(Buffer.concat(addresses.map((address) => addressBytes(address))));
    }
    case 'number8':
    case 'number16':
    case 'number32': {
      const number = /^-?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
      if (!(number <= ranges[type] && number >= -(ranges[type] + 1) / 2)) return undefined;
      const unsigned = number < 0 ? number + ranges[type] + 1 : number;
      return family === 4 ? { kind: type, number: unsigned } : bytes(numberBytes(unsigned, ({ number8: 1, number16: 2, number32: 4 } as const)[type]));
    }
    case 'text':
      if (!/^[\x20-\x7e]+$/.test(text) || /["\\]/.test(text)) return undefined;
      return family === 4 ? { kind: 'text', text } : bytes(Buffer.from(text, 'latin1'));
    case 'domains': {
      const names = text.split(/[\s,]+/).map((name) => name.replace(/\.$/, ''));
      return names.every(isDomain) ? bytes(Buffer.concat(names.map(domainBytes))) : undefined;
    }
    case 'any':
      return anyValue(family, text);
    default:
      throw new TypeError(`there is no such type of value: ${JSON.stringify(type satisfies never)}`);
  }
}

/** Parses the value of an option without a known type by its form, like Dnsmasq: hexadecimal bytes, a number, addresses, otherwise text. */
function anyValue(family: IpFamily, text: string): OptionValue | undefined {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2})+$/i.test(text)) return bytes(Buffer.from(text.replaceAll(':', ''), 'hex'));
  if (/^\d{1,10}$/.test(text) && Number(text) <= ranges.number32) {
    const number = Number(text);
    return bytes(numberBytes(number, number <= ranges.number8 ? 1 : number <= ranges.number16 ? 2 : 4));
  }
  const addresses = addressesIn(family, text);
  if (addresses) return bytes(Buffer.concat(addresses.map((address) => addressBytes(address))));
  return /^[\x20-\x7e]+$/.test(text) ? bytes(Buffer.from(text, 'latin1')) : undefined;
}

/** Parses addresses separated by commas or blanks, IPv6 ones with or without brackets; undefined when the text contains anything else. */
function addressesIn(family: IpFamily, text: string): readonly IpAddress[] | undefined {
  const addresses = text.split(/[\s,]+/).map((word) => parseAddress(word.replace(/^\[(.*)\]$/, '$1')));
  return addresses.every((address): address is IpAddress => address !== undefined && familyOf(address) === family) ? addresses : undefined;
}

const bytes = (value: Uint8Array): OptionValue => ({ kind: 'bytes', hex: Buffer.from(value).toString('hex') });
const numberBytes = (number: number, length: 1 | 2 | 4): Uint8Array => {
  const all = Buffer.alloc(4);
  all.writeUInt32BE(number);
  return all.subarray(4 - length);
};

/** A domain name as bytes (RFC 1035 3.1, uncompressed). */
export const domainBytes = (name: string): Uint8Array =>
  Buffer.concat([...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Uint8Array.of(0)]);
