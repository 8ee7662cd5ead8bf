console.error('vfio-oracle: no verbs yet');
process.exitCode = 2;
