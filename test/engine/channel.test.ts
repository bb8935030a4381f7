import { describe, expect, test } from 'vitest';
import { Channel } from '../../runner/engine/channel.ts';

const BOUNDS = { bytes: 10, records: 3 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Whether the promise is settled once everything that can happen now has happened. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const mark = (): void => {
    done = true;
  };
  promise.then(mark, mark);
  await turn();
  return done;
}

describe('a channel', () => {
  test('holds its sender when it is full in bytes, until something is taken', async () => {
    const channel = new Channel<string>(BOUNDS);
    await channel.send('a', { bytes: 6, records: 1 });
    const second = channel.send('b', { bytes: 5, records: 1 });
    expect(await settled(second)).toBe(false);
    expect(channel.fill).toEqual({ bytes: 6, records: 1 });
    expect(await channel.receive()).toBe('a');
    await second;
    expect(channel.fill).toEqual({ bytes: 5, records: 1 });
  });

  test('holds its sender when it is full in records', async () => {
    const channel = new Channel<string>(BOUNDS);
    await channel.send('a', { bytes: 1, records: 3 });
    expect(await settled(channel.send('b', { bytes: 1, records: 1 }))).toBe(false);
  });

  test('takes an item that is larger than its bounds when nothing else waits', async () => {
    const channel = new Channel<string>(BOUNDS);
    await channel.send('large', { bytes: 100, records: 50 });
    const next = channel.send('small', { bytes: 1, records: 1 });
    expect(await settled(next)).toBe(false);
    expect(await channel.receive()).toBe('large');
    await next;
  });

  test('lets a weightless item in as long as it is not beyond its bounds', async () => {
    const channel = new Channel<string>(BOUNDS);
    await channel.send('full', { bytes: 10, records: 3 });
    await channel.send('barrier', { bytes: 0, records: 0 });
    expect(await channel.receive()).toBe('full');
    expect(await channel.receive()).toBe('barrier');
  });

  test('keeps the order and ends behind the last item', async () => {
    const channel = new Channel<number>(BOUNDS);
    const sending = (async () => {
      for (let i = 0; i < 100; i++) await channel.send(i, { bytes: 4, records: 1 });
      channel.close();
    })();
    const received: number[] = [];
    for (let item = await channel.receive(); item !== undefined; item = await channel.receive()) received.push(item);
    await sending;
    expect(received).toEqual(Array.from({ length: 100 }, (_, i) => i));
    expect(await channel.receive()).toBeUndefined();
    expect(channel.fill).toEqual({ bytes: 0, records: 0 });
  });

  test('wakes a receiver that waits when it is closed', async () => {
    const channel = new Channel<number>(BOUNDS);
    const waiting = channel.receive();
    channel.close();
    expect(await waiting).toBeUndefined();
  });

  test('fails both sides, waiting or not, with the first failure', async () => {
    const broken = new Error('disk full');
    const sender = new Channel<number>(BOUNDS);
    await sender.send(1, { bytes: 10, records: 1 });
    const held = sender.send(2, { bytes: 10, records: 1 });
    const receiver = new Channel<number>(BOUNDS);
    const waiting = receiver.receive();
    for (const channel of [sender, receiver]) {
      channel.fail(broken);
      channel.fail(new Error('later'));
    }
    await expect(held).rejects.toBe(broken);
    await expect(waiting).rejects.toBe(broken);
    await expect(sender.receive()).rejects.toBe(broken);
    await expect(receiver.send(3, { bytes: 1, records: 1 })).rejects.toBe(broken);
  });
});
