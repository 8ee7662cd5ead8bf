// SPDX-License-Identifier: GPL-2.0-only

// Decision points: what is asked, by which names, and who may declare them.
import { expect, test } from 'vitest';
import { Decisions, LINUX_6_12 } from './variant.ts';

const about = { at: 'here', about: 'what is chosen' };
const choice = { about: 'a choice', source: 'this test' };
const choices = { '6.12': choice, red: choice, blue: choice };

function declared() {
  const decisions = new Decisions();
  const colour = decisions.variant('colour', { ...about, choices });
  const bugX1 = decisions.bug('X1', { ...about, source: 'this test', cure: 'none' });
  return { decisions, colour, bugX1 };
}

test('a design decides until the next one does; what it does not name is as in Linux 6.12', () => {
  const { decisions, colour, bugX1 } = declared();
  const red = { variant: { colour: 'red' } };
  const seen = [LINUX_6_12, red, { variant: { colour: 'blue' }, bugs: ['X1'] }, LINUX_6_12, red].map(
    (design) => {
      decisions.build(design);
      return [colour(), bugX1()];
    },
  );
  expect(seen).toEqual([
    ['6.12', false],
    ['red', false],
    ['blue', true],
    ['6.12', false],
    ['red', false],
  ]);
});

test('what nobody declared cannot be chosen, and changes nothing', () => {
  const { decisions, colour } = declared();
  decisions.build({ variant: { colour: 'red' } });
  for (const [design, why] of [
    [{ variant: { colour: 'green' } }, "the decision point 'colour' has no choice 'green'"],
    [{ variant: { size: 'big' } }, "no decision point 'size' is declared"],
    [{ variant: { colour: 'blue' }, bugs: ['X2'] }, "no bug 'X2' is declared"],
  ] as const) {
    expect(() => decisions.build(design)).toThrow(why);
    expect(colour()).toBe('red');
  }
});

test('a switch over the choices is exhaustive for the compiler', () => {
  const { colour } = declared();
  function told(): string {
    switch (colour()) {
      case '6.12':
        return 'as Linux';
      case 'red':
      case 'blue':
        return 'otherwise';
    }
  }
  expect(told()).toBe('as Linux');
});

test('names are declared once, and listed in order', () => {
  const { decisions } = declared();
  expect(() => decisions.variant('colour', { ...about, choices })).toThrow('declared twice');
  expect(() => decisions.bug('X1', { ...about, source: '', cure: '' })).toThrow('declared twice');
  decisions.variant('colander', { ...about, choices });
  expect(decisions.points()).toMatchObject([
    { name: 'colander' },
    { name: 'colour', ...about, choices: new Map(Object.entries(choices)) },
  ]);
  expect(decisions.bugs()).toMatchObject([{ id: 'X1', cure: 'none' }]);
});
