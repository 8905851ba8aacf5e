import { dnsmasqContract } from '../testing/dnsmasq-contract.ts';
import { fakeDnsmasq } from './fake.ts';

for (const family of [4, 6] as const) {
  dnsmasqContract(family, async () => {
    const dnsmasq = fakeDnsmasq(family);
    const [dns, routes] = family === 4 ? ['6', '121'] : ['option6:23', 'none'];
    return {
      dnsmasq,
      async ask(tap, mac) {
        const answer = dnsmasq.ask(tap, mac);
        return answer && { address: answer.addresses[0]!, dns: answer.options.get(dns)?.replace(/^\[(.*)\]$/, '$1'), routes: answer.options.get(routes) };
      },
      settled: async () => undefined,
      close: async () => undefined,
    };
  });
}
