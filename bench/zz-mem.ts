import { createPolicyCalculation } from '@calico-openstack/policy';
import { endpoint, host, policies, securityGroup } from './policy-scale-cluster.ts';

const size = 100_000;
const c = createPolicyCalculation({ host });
const dec = new TextDecoder(),
  enc = new TextEncoder();
for (let g = 0; g < policies; g++) c.update(...securityGroup(g));
let ms = 0;
for (let n = 0; n < size; n++) {
  const [k, v] = endpoint(n);
  const o = JSON.parse(dec.decode(v!));
  o.metadata.labels['vm'] = `vm-${n}`;
  o.metadata.labels['vm2'] = `vm-${n % 50000}`;
  const v2 = enc.encode(JSON.stringify(o));
  const t = performance.now();
  c.update(k, v2);
  ms += performance.now() - t;
}
const t = performance.now();
c.flush();
console.log('update', ms, 'flush', performance.now() - t);
console.log('max', process.resourceUsage().maxRSS / 1024);
globalThis.gc?.();
console.log(process.memoryUsage());
c.update(...endpoint(1));
