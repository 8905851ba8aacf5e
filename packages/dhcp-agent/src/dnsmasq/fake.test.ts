import { dnsmasqContract } from '../testing/dnsmasq-contract.ts';
import { fakeDnsmasq } from './fake.ts';

dnsmasqContract(async () => {
  const dnsmasq = fakeDnsmasq();
  return {
    dnsmasq,
    async ask(tap, mac) {
      const answer = dnsmasq.ask(tap, mac);
      return answer && { address: answer.addresses[0]!, dns: answer.options.get('6'), routes: answer.options.get('121') };
    },
    settled: async () => undefined,
    close: async () => undefined,
  };
});
