// Ends `npm ci` and `npm run build` with a sentence where they would end in an error that explains nothing. CommonJS without any newer syntax, for old versions of Node.
var major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  process.stderr.write(
    '\nThis project cannot be installed or built on Node ' +
      process.versions.node +
      ': npm leaves out the Node 24 that the project brings, and its other native packages, on a Node that is older than 20.\n' +
      'Run ./tools/install test instead, as root: it fetches the right Node by the lock file, installs and builds with that, and leaves the machine’s Node as it is.\n' +
      'Debian packages of a release need no Node at all: see packaging/README.md.\n\n',
  );
  process.exit(1);
}
