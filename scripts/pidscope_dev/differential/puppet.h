/* What the two parts of the puppet share. */

extern int replies, proc, self; /* descriptors: of the pipe, the proc mount, the program */

long execute(int channel);
void world(int control, int channel, char **ids);
