# From the .proto files: a C name for each message's descriptor, so that the
# tables can speak of `SignAsk`: #define AG_D_SignAsk ag__sign_ask__descriptor
/^message /!d
s/^message ([A-Za-z0-9]+).*/\1/
h
s/([a-z0-9])([A-Z])/\1_\2/g
y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/
x
G
s/(.*)\n(.*)/#define AG_D_\1 ag__\2__descriptor/
p
