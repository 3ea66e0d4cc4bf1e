// Passwords that the dashboard makes up for somebody else.

/** The daemon refuses shorter ones. */
export const PASSWORD_CHARACTERS_MIN = 12;
/** Letters and digits that are not taken for one another; 20 of them are 116 bits. */
const ALPHABET = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const CHARACTERS = 20;

export function madeUpPassword(): string {
  const most = 256 - (256 % ALPHABET.length);
  let password = "";
  while (password.length < CHARACTERS) {
    for (const byte of crypto.getRandomValues(new Uint8Array(CHARACTERS))) {
      if (byte < most && password.length < CHARACTERS) password += ALPHABET[byte % ALPHABET.length];
    }
  }
  return password;
}
