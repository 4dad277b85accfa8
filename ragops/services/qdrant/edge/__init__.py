"""Former place of the development server: process records of earlier releases start it from here."""
