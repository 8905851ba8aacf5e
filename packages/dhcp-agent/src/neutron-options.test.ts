import { parseIni } from '@calico-openstack/agent';
import { expect, test } from 'vitest';
import { optionsIn } from './option-table.ts';

const complaintsOf = (text: string, environment = {}) =>
  optionsIn([{ path: 'dhcp_agent.ini', ini: parseIni(text, 'dhcp_agent.ini', 'conf') }], environment).complaints;

test('an option of Neutron’s DHCP agent that has no effect here is complained of, with the reason', () =>
  expect(complaintsOf('[DEFAULT]\nenable_isolated_metadata = true\ninterface_driver = openvswitch\n[other]\nresync_interval = 9')).toEqual([
    {
      option: '[DEFAULT] enable_isolated_metadata',
      source: 'dhcp_agent.ini',
      value: 'true',
      problem: expect.stringMatching(/^this agent does not act on it: guests reach Nova's metadata service/),
    },
    expect.objectContaining({ option: '[DEFAULT] interface_driver', value: 'openvswitch' }),
  ]));

test('one that says what holds anyway is not, nor an option of another program of Neutron', () =>
  expect(complaintsOf('[DEFAULT]\nresync_interval = 5\nforce_metadata = False\ncore_plugin = calico\n')).toEqual([]));

test('it is found in the environment as well', () =>
  expect(complaintsOf('', { OS_DEFAULT__FORCE_METADATA: '1' })).toMatchObject([{ option: '[DEFAULT] force_metadata', source: 'environment' }]));
