// Makes Debian packages that have the names, files, dependencies and scripts of upstream's, and nothing of their contents: what a host has before it changes to ours.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The version of the packages. */
export const upstreamVersion = '3.30.2';

type Upstreams = {
  readonly name: string;
  readonly depends: readonly string[];
  readonly files: readonly string[];
  readonly configuration?: readonly string[];
  readonly unit?: true;
};

const same = `(= ${upstreamVersion})`;
const packages: readonly Upstreams[] = [
  {
    name: 'calico-common',
    depends: [],
    files: ['/usr/bin/calico-diags', '/usr/bin/calico-gen-bird-conf.sh', '/usr/share/calico/bird/calico-bird.conf.template'],
  },
  {
    name: 'calico-felix',
    depends: ['calico-common', 'iproute2'],
    files: ['/usr/bin/calico-felix'],
    configuration: ['/etc/calico/felix.cfg.example', '/etc/logrotate.d/calico-felix'],
    unit: true,
  },
  { name: 'networking-calico', depends: ['python3'], files: ['/usr/lib/python3/dist-packages/networking_calico/__init__.py'] },
  { name: 'calico-dhcp-agent', depends: [`networking-calico ${same}`], files: ['/usr/bin/calico-dhcp-agent'], unit: true },
  { name: 'calico-resync', depends: [`networking-calico ${same}`], files: ['/usr/bin/calico-resync'] },
  { name: 'calico-control', depends: [`networking-calico ${same}`], files: [] },
  { name: 'calico-compute', depends: ['calico-felix (>= 1.4)', `networking-calico ${same}`], files: [] },
];

const unit = (name: string): string => `[Service]\nExecStart=/usr/bin/${name}\n[Install]\nWantedBy=multi-user.target\n`;

/** Writes the packages to a folder. A unit is stopped before its package is upgraded, as by debhelper's older scripts. */
export function makeUpstreams(out: string): void {
  mkdirSync(out, { recursive: true });
  for (const { name, depends, files, configuration = [], unit: hasUnit } of packages) {
    const tree = mkdtempSync(join(tmpdir(), `${name}-`));
    const write = (path: string, text: string, mode: number): void => {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), text);
      chmodSync(join(tree, path), mode);
    };
    try {
      chmodSync(tree, 0o755);
      for (const file of files) write(file, '#!/bin/sh\nexec sleep infinity\n', 0o755);
      for (const file of configuration) write(file, '# as upstream ships it\n', 0o644);
      if (hasUnit) {
        write(`/lib/systemd/system/${name}.service`, unit(name), 0o644);
        const systemd = (command: string): string => `if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl ${command} ${name}; fi\n`;
        write('DEBIAN/postinst', `#!/bin/sh\nset -e\n${systemd('enable --now')}`, 0o755);
        write('DEBIAN/prerm', `#!/bin/sh\nset -e\n${systemd('stop')}`, 0o755);
      }
      if (configuration.length > 0) write('DEBIAN/conffiles', configuration.map((path) => `${path}\n`).join(''), 0o644);
      const list = depends.length > 0 ? `Depends: ${depends.join(', ')}\n` : '';
      write(
        'DEBIAN/control',
        `Package: ${name}\nVersion: ${upstreamVersion}\nArchitecture: all\nMaintainer: A test <test@example.invalid>\n${list}Description: stands for upstream's\n`,
        0o644,
      );
      execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '-b', tree, join(out, `${name}.deb`)], { stdio: 'ignore' });
    } finally {
      rmSync(tree, { recursive: true });
    }
  }
}
